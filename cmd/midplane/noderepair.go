package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/node"
)

// repairView is what a repair has done.
type repairView struct {
	Dir   string         `json:"dir"`
	Kept  map[string]int `json:"kept"`
	Lost  []string       `json:"lost,omitempty"`
	Torn  bool           `json:"more_may_be_lost"`
	Aside string         `json:"aside,omitempty"`
}

// nodeRepairVerb is midplane node repair.
func (a *app) nodeRepairVerb() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "repair [TARGET]",
		Short: "Mend a node's damaged store: keep what checks out, save the rest aside",
		Long: `Mend a node's damaged store. Records that check out are kept; the file as it was
stays beside it. The node must not run: midplane kill node/NAME first, if it does.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTargets,
		RunE: func(_ *cobra.Command, args []string) error {
			if (len(args) == 1) == (dir != "") {
				return problem.Usagef("give a TARGET or --dir")
			}
			if len(args) == 1 {
				var err error
				if dir, err = a.nodeDir(args[0]); err != nil {
					return err
				}
			}
			return a.repairNode(dir)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the directory of a node that no supervisor keeps")
	return cmd
}

// nodeDir is where a node of the shelf keeps its state.
func (a *app) nodeDir(target string) (string, error) {
	l, err := a.lab()
	if err != nil {
		return "", err
	}
	t, err := l.ResolveTarget(target)
	if err != nil {
		return "", err
	}
	if t.Node == nil {
		return "", problem.Usagef("%s has no node", t)
	}
	return l.NodeDir(t.Name), nil
}

func (a *app) repairNode(dir string) error {
	r, err := node.Repair(dir)
	if errors.Is(err, kv.ErrLocked) {
		return problem.Refusedf("midplane kill node/NAME stops it", "the node in %s runs", dir)
	}
	if err != nil {
		return fmt.Errorf("repair %s: %w", dir, err)
	}
	v := repairView{Dir: dir, Kept: r.Kept, Lost: r.Lost, Torn: len(r.Torn) > 0, Aside: r.Aside}
	return a.print(v, func(tb *table) {
		if v.Aside == "" {
			tb.row("nothing is damaged")
			return
		}
		for _, bucket := range slices.Sorted(maps.Keys(v.Kept)) {
			tb.row("kept", bucket, fmt.Sprintf("%d records", v.Kept[bucket]))
		}
		if len(v.Lost) > 0 {
			tb.row("lost", strings.Join(v.Lost, " "))
		}
		if v.Torn {
			tb.row("torn", "pages of the file are unreadable: more may be lost")
		}
		tb.row("as it was", v.Aside)
	})
}
