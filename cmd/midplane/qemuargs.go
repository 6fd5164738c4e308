package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/qmp"
)

func (a *app) qemuArgsVerb() *cobra.Command {
	var form, release string
	cmd := &cobra.Command{
		Use:   "qemu-args TARGET",
		Short: "Print the QEMU arguments that connect your own VM to a node",
		Long: `Print the arguments to add to the command line of your own QEMU, or the lines to
paste into your libvirt domain, so that it has the node of TARGET as its BMC.
The node must have qemu: none in shelf.yaml.`,
		Example:           "  midplane qemu-args mine --qemu-version 8.2\n  midplane qemu-args mine -o libvirt",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := parseRelease(cmd, release)
			if err != nil {
				return err
			}
			spec, err := a.joinSpec(args[0], version)
			if err != nil {
				return err
			}
			return a.printJoin(spec, form)
		},
	}
	cmd.Flags().StringVarP(&form, "output", "o", "shell", "shell or libvirt")
	cmd.Flags().StringVar(&release, "qemu-version", "", "your QEMU's release, such as 8.2 (default: that of "+power.DefaultBinary+" here)")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"shell", "libvirt"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func parseRelease(cmd *cobra.Command, release string) (v qmp.Version, err error) {
	if release == "" {
		v, err = power.QEMUVersion(cmd.Context(), "")
		if err != nil {
			return v, &problem.Error{Code: problem.Failed, What: "cannot ask QEMU for its release", Why: err, Do: "say it: --qemu-version 8.2"}
		}
		return v, nil
	}
	if n, _ := fmt.Sscanf(release, "%d.%d.%d", &v.Major, &v.Minor, &v.Micro); n < 2 {
		return v, problem.Usagef("--qemu-version %q: want a release such as 8.2", release)
	}
	return v, nil
}

// joinSpec describes a VM that dials its node.
func (a *app) joinSpec(target string, version qmp.Version) (power.Spec, error) {
	l, err := a.lab()
	if err != nil {
		return power.Spec{}, err
	}
	t, err := l.ResolveNode(target)
	if err != nil {
		return power.Spec{}, err
	}
	if t.Node.FanTray() {
		return power.Spec{}, problem.Refusedf("midplane ps shows which nodes have one", "%s is a fan tray, which has no VM", t.Name)
	}
	if !t.Node.QEMU.None {
		return power.Spec{}, problem.Refusedf("set qemu: none for it in shelf.yaml, then midplane up",
			"%s starts a VM of its own, so yours cannot connect", t.Name)
	}
	return power.Spec{
		Name: t.Name, Version: version, SystemInterface: power.SystemInterface(t.Node.Interface),
		Machine: t.Node.QEMU.Machine, SlaveAddr: uint8(t.Addr), VMSocket: power.VMSocket{Path: l.VMSocket(*t.Node)},
	}, nil
}

func (a *app) printJoin(spec power.Spec, form string) error {
	switch form {
	case "shell":
		argv, err := power.JoinArgs(spec)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(a.out, power.Shell(argv))
		return err
	case "libvirt":
		text, err := power.Libvirt(spec)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(a.out, text)
		return err
	}
	return problem.Usagef("-o %q: want shell or libvirt", form)
}
