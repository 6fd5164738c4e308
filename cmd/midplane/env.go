package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
)

func (a *app) envVerb() *cobra.Command {
	var freeipmi bool
	cmd := &cobra.Command{
		Use:   "env [TARGET]",
		Short: "Print what a shell needs for ipmitool at a LAN door",
		Long: `Print shell commands that set IPMITOOL_PASSWORD, and IPMITOOL to the words with
which ipmitool reaches a LAN door: that of TARGET, else the shelf manager's, else
the first node's.

  eval $(midplane env)
  $IPMITOOL mc info
  $IPMITOOL -b 0 -t 0x84 mc info      # the controller in slot 2, by way of it

zsh does not split a variable into words: write ${=IPMITOOL} mc info there.

With --freeipmi it writes a configuration file (mode 0600) for FreeIPMI's tools
in the shelf's state instead, and prints how to use it.`,
		Example:           "  eval $(midplane env)\n  eval $(midplane env blade1)\n  midplane env --freeipmi blade1",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTargets,
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			d, err := a.door(l, args)
			if err != nil {
				return err
			}
			if freeipmi {
				return a.freeIPMI(l, d)
			}
			return a.env(l, d, args)
		},
	}
	cmd.Flags().BoolVar(&freeipmi, "freeipmi", false, "write a configuration file for FreeIPMI's tools")
	return cmd
}

// door is that of the target in args, or else the shelf's first.
func (a *app) door(l *lab.Lab, args []string) (lab.Door, error) {
	if len(args) > 0 {
		t, err := l.ResolveTarget(args[0])
		if err != nil {
			return lab.Door{}, err
		}
		return l.Door(t)
	}
	t, err := l.ResolveTarget("shelf")
	if err != nil {
		return lab.Door{}, err
	}
	doors := l.Doors()
	if len(doors) == 0 {
		return l.Door(t)
	}
	if !doors[0].Target.Shelf {
		fmt.Fprintf(a.err, "midplane: the shelf manager has no LAN door: this is %s's\n", doors[0].Target)
	}
	return doors[0], nil
}

// env prints what eval takes, with or without quotes around it: a line ends in
// a semicolon, and only the last is a comment.
func (a *app) env(l *lab.Lab, d lab.Door, args []string) error {
	password, err := d.Password()
	if err != nil {
		return err
	}
	run := strings.Join(append([]string{"midplane env" + shelfFlag(l)}, args...), " ")
	_, err = fmt.Fprintf(a.out, "export IPMITOOL_PASSWORD=%s;\nexport IPMITOOL=%s;\n# %s of shelf %s. Run: eval $(%s) ; $IPMITOOL mc info -- in zsh: ${=IPMITOOL} mc info\n",
		quote(password), quote(quoteAll(append(ipmitool(d), "-E"))), d.Target, l.Name, run)
	return err
}

// freeIPMI writes the file for FreeIPMI's tools.
func (a *app) freeIPMI(l *lab.Lab, d lab.Door) error {
	path, err := l.FreeIPMI(d)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "# %s is written. FreeIPMI wants the address beside it:\nbmc-info --config-file=%s -h %s\n", path, quote(path), d.Address)
	return err
}

// ipmitool is the command line that reaches a door, but for its password.
func ipmitool(d lab.Door) []string {
	return []string{
		"ipmitool", "-I", "lanplus", "-H", d.Address.Addr().String(), "-p", fmt.Sprint(d.Address.Port()), "-U", d.User,
	}
}

// sayDoors prints lines to paste.
func (a *app) sayDoors(l *lab.Lab) {
	doors := l.Doors()
	if len(doors) == 0 {
		return
	}
	across := ""
	if t := doors[len(doors)-1].Target; doors[0].Target.Shelf && !t.Shelf {
		across = "-b 0 -t " + t.Addr.String() + " "
	}
	a.say("With ipmitool: eval $(midplane env%s) ; $IPMITOOL %smc info", shelfFlag(l), across)
	shown := min(len(doors), 2)
	for _, d := range doors[:shown] {
		a.say("  %s -f %s mc info   # %s", quoteAll(ipmitool(d)), quote(d.PasswordFile), d.Target)
	}
	if others := doors[shown:]; len(others) > 0 {
		a.say("  likewise for the others: midplane env%[1]s %[2]s, midplane ipmi%[1]s %[2]s mc info; midplane ps%[1]s lists them", shelfFlag(l), others[0].Target.Name)
	}
}

// shelfFlag is what a command line needs to mean this shelf.
func shelfFlag(l *lab.Lab) string {
	if found, err := lab.Find(""); err == nil && found.Name == l.Name {
		return ""
	}
	return strings.Join([]string{"", "--shelf", l.Name}, " ")
}
