package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/node"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// userView is one user of a LAN door.
type userView struct {
	ID        uint32 `json:"id"`
	Name      string `json:"name"`
	Enabled   bool   `json:"enabled"`
	Privilege string `json:"privilege"`
	SOL       bool   `json:"sol"`
}

// privileges are limits of users by the words of the command line.
var privileges = []string{1: "callback", 2: "user", 3: "operator", 4: "admin", 15: "none"}

const privilegeHelp = "PRIVILEGE is callback, user, operator, admin or none."

func viewOf(u *v1.User) userView {
	v := userView{ID: u.Id, Name: u.Name, Enabled: u.Enabled, Privilege: fmt.Sprint(u.Privilege), SOL: u.Sol}
	if u.Privilege < uint32(len(privileges)) && privileges[u.Privilege] != "" {
		v.Privilege = privileges[u.Privilege]
	}
	return v
}

func parsePrivilege(word string) (uint32, error) {
	for i, p := range privileges {
		if p != "" && p == word {
			return uint32(i), nil
		}
	}
	return 0, problem.Usagef("%q: %s", word, privilegeHelp)
}

// userVerb is midplane user.
func (a *app) userVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Show and change who may log in at a LAN door",
		Long: `Show and change the users of a node, or of the shelf manager (shelf). What is
changed there is changed on all replicas. USER is a name, or the number of a user.

Passwords are typed, or come from standard input, or are made up with --generate.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.userListVerb(), a.userAddVerb(), a.userSetVerb(), a.userPasswordVerb(),
		a.userSwitchVerb("enable", "Let a user log in", true), a.userSwitchVerb("disable", "Keep a user out", false),
		a.userPrivVerb(), a.userRemoveVerb())
	return cmd
}

// users are those of one controller, by the API of its own daemon.
type users struct {
	daemon
	lab    *lab.Lab
	target lab.Target
	all    replicas
}

// withUsers runs f with the users of a target.
func (a *app) withUsers(cmd *cobra.Command, target string, f func(users) error) error {
	l, err := a.lab()
	if err != nil {
		return err
	}
	t, err := l.ResolveTarget(target)
	if err != nil {
		return err
	}
	u := users{lab: l, target: t}
	if !t.Shelf {
		if t, err = l.ResolveNode(target); err != nil {
			return err
		}
		u.daemon, err = dialNode(l, t.Name)
		u.all = replicas{u.daemon}
	} else if u.all, err = dialReplicas(l); err == nil {
		u.daemon, err = u.all.leader(cmd.Context(), l.Name)
	}
	if u.all != nil {
		defer u.all.close()
	}
	if err != nil {
		return err
	}
	return f(u)
}

func (u users) api() v1.UsersClient { return v1.NewUsersClient(u.conn) }

// meant says who is meant: a number is an id.
func (u users) meant(user string) *v1.ChangeUserRequest {
	r := &v1.ChangeUserRequest{Shelf: u.lab.Name, Name: user}
	if id := number(user); id > 0 {
		r.Id, r.Name = id, ""
	}
	return r
}

// number is the id that a word means, 0 if it is a name.
func number(word string) uint32 {
	id, err := strconv.ParseUint(word, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(id)
}

// checkNewName does not let in a number, which would then mean somebody else.
func checkNewName(name string) error {
	if number(name) > 0 {
		return problem.Usagef("a user named %s would be taken for the user of that number", name)
	}
	return nil
}

// change changes a user and shows what has become of it.
func (a *app) change(cmd *cobra.Command, u users, r *v1.ChangeUserRequest) error {
	now, err := u.api().Change(cmd.Context(), r)
	if err != nil {
		return u.explain(err)
	}
	return a.printUsers(now)
}

func (a *app) printUsers(all ...*v1.User) error {
	views := make([]userView, 0, len(all))
	for _, u := range all {
		views = append(views, viewOf(u))
	}
	return a.print(views, func(t *table) {
		t.header = []string{"ID", "NAME", "ENABLED", "PRIVILEGE", "SOL"}
		for _, v := range views {
			t.row(v.ID, v.Name, yesNo(v.Enabled), v.Privilege, yesNo(v.SOL))
		}
	})
}

func (a *app) userListVerb() *cobra.Command {
	return &cobra.Command{
		Use: "list TARGET", Short: "Show the users", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUsers(cmd, args[0], func(u users) error {
				m, err := u.api().List(cmd.Context(), &v1.ListUsersRequest{Shelf: u.lab.Name})
				if err != nil {
					return u.explain(err)
				}
				return a.printUsers(m.Users...)
			})
		},
	}
}

func (a *app) userAddVerb() *cobra.Command {
	var secret secretFlags
	var priv string
	var sol bool
	cmd := &cobra.Command{
		Use: "add TARGET NAME", Short: "Make a user who may log in",
		Long:    "Make a user who may log in. " + privilegeHelp,
		Example: "  midplane user add shelf alice --generate\n  midplane user add blade1 bob --privilege operator --sol",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parsePrivilege(priv)
			if err == nil {
				err = checkNewName(args[1])
			}
			if err != nil {
				return err
			}
			return a.withUsers(cmd, args[0], func(u users) error {
				password, err := a.secret(cmd.Context(), secret, args[1])
				if err != nil {
					return err
				}
				now, err := u.api().Add(cmd.Context(), &v1.AddUserRequest{
					Shelf: u.lab.Name, Name: args[1], Password: password, Privilege: p, Sol: sol,
				})
				if err != nil {
					return u.explain(err)
				}
				return a.given(u, now, secret, password)
			})
		},
	}
	secret.add(cmd)
	cmd.Flags().StringVar(&priv, "privilege", "user", "the highest `PRIVILEGE`")
	cmd.Flags().BoolVar(&sol, "sol", false, "may use Serial over LAN")
	return cmd
}

// given shows a user who has a new password, and notes it where midplane env
// reads that of the administrator.
func (a *app) given(u users, now *v1.User, secret secretFlags, password string) error {
	a.showSecret(secret, now.Name, password)
	if now.Name == node.LANUser {
		if err := u.lab.SetDoorPassword(u.target, password); err != nil {
			return fmt.Errorf("the password is changed, and midplane env does not know it: %w", err)
		}
	}
	return a.printUsers(now)
}

func (a *app) userSetVerb() *cobra.Command {
	var name, priv string
	var sol bool
	cmd := &cobra.Command{
		Use: "set TARGET USER", Short: "Change a user's name, privilege, or use of Serial over LAN",
		Long:    "Change what the flags say, and leave the rest. " + privilegeHelp,
		Example: "  midplane user set blade1 bob --name robert --sol=false",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUsers(cmd, args[0], func(u users) error {
				r := u.meant(args[1])
				if cmd.Flags().Changed("name") {
					if err := checkNewName(name); err != nil {
						return err
					}
					r.NewName = &name
				}
				if cmd.Flags().Changed("sol") {
					r.Sol = &sol
				}
				if cmd.Flags().Changed("privilege") {
					p, err := parsePrivilege(priv)
					if err != nil {
						return err
					}
					r.Privilege = &p
				}
				if r.NewName == nil && r.Sol == nil && r.Privilege == nil {
					return problem.Usagef("user set: --name, --privilege or --sol says what to change")
				}
				return a.change(cmd, u, r)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "another `NAME`")
	cmd.Flags().StringVar(&priv, "privilege", "", "the highest `PRIVILEGE`")
	cmd.Flags().BoolVar(&sol, "sol", false, "may use Serial over LAN")
	return cmd
}

func (a *app) userPasswordVerb() *cobra.Command {
	var secret secretFlags
	cmd := &cobra.Command{
		Use: "password TARGET USER", Short: "Give a user another password",
		Long: `Give a user another password. That of ` + node.LANUser + `, by which midplane env and midplane ipmi log in,
is written to the file from which they read it, too.`,
		Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUsers(cmd, args[0], func(u users) error {
				password, err := a.secret(cmd.Context(), secret, args[1])
				if err != nil {
					return err
				}
				r := u.meant(args[1])
				r.Password = &password
				now, err := u.api().Change(cmd.Context(), r)
				if err != nil {
					return u.explain(err)
				}
				return a.given(u, now, secret, password)
			})
		},
	}
	secret.add(cmd)
	return cmd
}

func (a *app) userSwitchVerb(use, short string, on bool) *cobra.Command {
	return &cobra.Command{
		Use: use + " TARGET USER", Short: short, Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUsers(cmd, args[0], func(u users) error {
				r := u.meant(args[1])
				r.Enabled = &on
				return a.change(cmd, u, r)
			})
		},
	}
}

func (a *app) userPrivVerb() *cobra.Command {
	return &cobra.Command{
		Use: "priv TARGET USER PRIVILEGE", Short: "Limit what a user may", Long: "Limit what a user may. " + privilegeHelp,
		Args: cobra.ExactArgs(3), ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parsePrivilege(args[2])
			if err != nil {
				return err
			}
			return a.withUsers(cmd, args[0], func(u users) error {
				r := u.meant(args[1])
				r.Privilege = &p
				return a.change(cmd, u, r)
			})
		},
	}
}

func (a *app) userRemoveVerb() *cobra.Command {
	return &cobra.Command{
		Use: "rm TARGET USER", Short: "Remove a user", Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUsers(cmd, args[0], func(u users) error {
				r := u.meant(args[1])
				_, err := u.api().Remove(cmd.Context(), &v1.RemoveUserRequest{Shelf: r.Shelf, Id: r.Id, Name: r.Name})
				if err == nil {
					a.say("user %s of %s is removed", args[1], u.target)
				}
				return u.explain(err)
			})
		},
	}
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
