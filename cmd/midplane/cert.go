package main

import (
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/internal/trust"
)

const subjectHelp = "\n\nSUBJECT is replica/NAME, node/SHELF/SLOT, admin/NAME, operator/NAME or viewer/NAME."

func (a *app) certVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Issue, renew, revoke and list certificates",
		Long:  "Work with the shelf's certificate authority." + subjectHelp,
		Args:  cobra.NoArgs,
	}
	cmd.PersistentFlags().StringVar(&a.pki, "pki", "", "the authority's `DIR` (default: that of the shelf on this machine)")
	cmd.AddCommand(a.certInitVerb(), a.certIssueVerb(), a.certRenewVerb(), a.certRevokeVerb(), a.certListVerb())
	return cmd
}

// authority opens the authority of --pki, or the shelf's.
func (a *app) authority() (*trust.Authority, error) {
	if a.pki != "" {
		return trust.OpenAuthority(a.pki)
	}
	l, err := a.lab()
	if err != nil {
		return nil, err
	}
	return l.Authority()
}

// certInitVerb starts an authority for a shelf whose daemons run on several
// hosts; midplane up makes one of its own.
func (a *app) certInitVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "init --pki DIR",
		Short:   "Make a certificate authority for a cluster on several hosts",
		Example: "  midplane cert init --pki ./pki",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.pki == "" {
				return problem.Usagef("cert init: --pki DIR is needed")
			}
			ca, err := trust.NewAuthority(a.pki, uuid.NewString())
			if errors.Is(err, fs.ErrExist) {
				return &problem.Error{Code: problem.Refused, What: "there is an authority already", Where: a.pki}
			}
			if err != nil {
				return err
			}
			cmd.Printf("Cluster %s, authority in %s. Its ca-key.pem stays here.\n", ca.Cluster(), ca.Dir())
			return nil
		},
	}
}

func (a *app) certIssueVerb() *cobra.Command {
	var o trust.Options
	cmd := &cobra.Command{
		Use:     "issue SUBJECT",
		Short:   "Make a certificate with a new key",
		Long:    "Make a certificate with a new key." + subjectHelp,
		Example: "  midplane cert issue operator/alice --ttl 720h\n  midplane cert issue node/lab/3",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			ca, err := a.authority()
			if err != nil {
				return err
			}
			id, err := trust.ParseSubject(ca.Cluster(), args[0])
			if err != nil {
				return &problem.Error{Code: problem.Usage, What: "SUBJECT", Why: err}
			}
			p, err := ca.Issue(id, o)
			if errors.Is(err, fs.ErrExist) {
				return &problem.Error{
					Code: problem.Refused, What: args[0] + " has a certificate that holds", Where: ca.Dir(),
					Do: "midplane cert renew " + args[0] + ", or revoke it first",
				}
			}
			if err != nil {
				return err
			}
			return a.printPair(ca, p)
		},
	}
	cmd.Flags().DurationVar(&o.TTL, "ttl", trust.DefaultTTL, "how long it holds")
	cmd.Flags().StringSliceVar(&o.DNS, "dns", nil, "DNS names, for clients that check them")
	cmd.Flags().IPSliceVar(&o.IP, "ip", []net.IP{}, "IP addresses, likewise")
	return cmd
}

func (a *app) certRenewVerb() *cobra.Command {
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "renew SUBJECT",
		Short: "Replace a certificate; the old one stays good until its end",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			ca, err := a.authority()
			if err != nil {
				return err
			}
			id, err := trust.ParseSubject(ca.Cluster(), args[0])
			if err != nil {
				return &problem.Error{Code: problem.Usage, What: "SUBJECT", Why: err}
			}
			p, err := ca.Renew(id, ttl)
			if err != nil {
				return err
			}
			return a.printPair(ca, p)
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long it holds (default: as long as the old one did)")
	return cmd
}

// pairView is a new certificate as programs see it.
type pairView struct {
	Subject string `json:"subject"`
	Serial  string `json:"serial"`
	Cert    string `json:"cert"` // path
	Key     string `json:"key"`  // path
	CA      string `json:"ca"`   // path
}

func (a *app) printPair(ca *trust.Authority, p trust.Pair) error {
	files, err := trust.FilesIn(ca.Dir(), p.Identity.Subject())
	if err != nil {
		return err
	}
	v := pairView{p.Identity.Subject(), p.Serial, files.Cert, files.Key, files.CA}
	return a.print(v, func(t *table) {
		t.row("subject", v.Subject)
		t.row("serial", v.Serial)
		t.row("certificate", v.Cert)
		t.row("key", v.Key)
		t.row("authority", v.CA)
	})
}

func (a *app) certRevokeVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke SUBJECT|SERIAL",
		Short: "End certificates before their time",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			ca, err := a.authority()
			if err != nil {
				return err
			}
			revoked, err := ca.Revoke(args[0])
			if err != nil {
				return err
			}
			return a.printIssued(revoked)
		},
	}
}

func (a *app) certListVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List certificates",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ca, err := a.authority()
			if err != nil {
				return err
			}
			all, err := ca.List()
			if err != nil {
				return err
			}
			if a.format == formatTable {
				a.say("Certificates in %s", filepath.Clean(ca.Dir()))
			}
			return a.printIssued(all)
		},
	}
}

func (a *app) printIssued(all []trust.Issued) error {
	return a.print(all, func(t *table) {
		t.header = []string{"SUBJECT", "SERIAL", "STATE", "UNTIL"}
		for _, i := range all {
			t.row(i.Subject, i.Serial, certState(i, time.Now()), i.NotAfter.Format(time.DateOnly))
		}
	})
}

func certState(i trust.Issued, now time.Time) string {
	switch {
	case i.Revoked():
		return "revoked"
	case i.Expired(now):
		return "expired"
	case !i.Current:
		return "replaced"
	}
	return "good"
}
