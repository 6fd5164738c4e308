package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// selPoll is how often a followed SEL of a node is looked at.
const selPoll = 500 * time.Millisecond

// selView is one record of a SEL.
type selView struct {
	ID        uint16 `json:"id"`
	Time      string `json:"time,omitempty"` // as the log's clock had it
	Type      uint8  `json:"type"`
	Generator string `json:"generator,omitempty"`
	Sensor    string `json:"sensor,omitempty"`
	Number    uint8  `json:"number,omitempty"`
	EventType uint8  `json:"event_type,omitempty"`
	Deassert  bool   `json:"deassert,omitempty"`
	Text      string `json:"text"`
	Record    string `json:"record"` // 16 bytes in hex
}

func (a *app) selVerb() *cobra.Command {
	var verbose, follow bool
	var last int
	cmd := &cobra.Command{
		Use:   "sel [TARGET]",
		Short: "Show a system event log: the shelf's, or a node's own",
		Long: `Show a system event log: that of the shelf manager at 0x20, which is a view of
its event log (midplane events), or a controller's own, which is read with the
SEL commands.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			t, err := l.ResolveTarget(append(args, "shelf")[0])
			if err != nil {
				return err
			}
			return a.showSEL(cmd.Context(), l, t, selOptions{verbose, follow, last})
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "every field, and the record in hex")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new records, until interrupted")
	cmd.Flags().IntVarP(&last, "last", "n", 0, "only the last `N`")
	return cmd
}

type selOptions struct {
	verbose, follow bool
	last            int
}

func (a *app) showSEL(ctx context.Context, l *lab.Lab, t lab.Target, o selOptions) error {
	log := openSEL(l, t)
	defer log.close()
	old, err := log.more(ctx)
	if err != nil {
		return err
	}
	old = tail(old, o.last)
	if !o.follow && !o.verbose {
		return a.print(old, func(tb *table) { selTable(tb, old) })
	}
	if !o.follow && a.format != formatTable {
		return a.print(old, nil)
	}
	said := trouble(nil) // of what stands in the way
	for {
		for _, e := range old {
			if err := a.emit(e, e.lines(o.verbose)); err != nil {
				return err
			}
		}
		if !o.follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(selPoll):
		}
		old, err = log.more(ctx)
		if text := trouble(err); text != said && ctx.Err() == nil { // it may come back: follow until interrupted
			said = text
			fmt.Fprintln(a.err, "midplane: "+text)
		}
	}
}

func trouble(err error) string {
	if err == nil {
		return "reading goes on"
	}
	return explain(err)
}

func selOf(r sel.Record) selView {
	b := r.Marshal()
	v := selView{ID: r.ID, Type: uint8(r.Type), Text: sel.Describe(r), Record: fmt.Sprintf("%x", b)}
	if r.Type.Timed() {
		v.Time = r.Time.String()
	}
	if r.Type == sel.TypeSystem {
		v.Generator, v.Sensor = r.Generator.String(), r.Event.Sensor.String()
		v.Number, v.EventType, v.Deassert = r.Event.Number, uint8(r.Event.Type), r.Event.Deassert
	}
	return v
}

func selTable(t *table, all []selView) {
	t.header = []string{"ID", "TIME (UTC)", "EVENT"}
	for _, e := range all {
		t.row(fmt.Sprintf("%04x", e.ID), e.Time, e.Text)
	}
}

// lines tells a record in a line, or with all its fields in several.
func (e selView) lines(verbose bool) string {
	s := fmt.Sprintf("%04x  %-19s  %s", e.ID, e.Time, e.Text)
	if !verbose {
		return s
	}
	if e.Type == uint8(sel.TypeSystem) {
		direction := "asserted"
		if e.Deassert {
			direction = "deasserted"
		}
		s += fmt.Sprintf("\n      generator %s, sensor %s 0x%02x, event type 0x%02x, %s",
			e.Generator, e.Sensor, e.Number, e.EventType, direction)
	}
	return s + fmt.Sprintf("\n      type 0x%02x, record %s", e.Type, e.Record)
}
