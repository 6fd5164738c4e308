package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/ipmb"
)

// Target is a controller that a command is about.
type Target struct {
	Shelf bool      // the shelf manager, 0x20
	Addr  ipmb.Addr // always set
	Slot  int       // 0 for the shelf
	// Node is the slot's node; nil for the shelf and for a slot that shelf.yaml leaves empty.
	Node *topology.Node
	Name string // the node's name, "shelf", or the address
}

func (t Target) String() string { return t.Name }

// ResolveTarget reads a TARGET: a slot number, a node's name, an IPMB address
// such as 0x84, or shelf.
func (l *Lab) ResolveTarget(s string) (Target, error) {
	if s == "shelf" {
		return shelfTarget(), nil
	}
	for i := range l.Topology.Nodes {
		if n := &l.Topology.Nodes[i]; n.Name == s {
			return nodeTarget(n), nil
		}
	}
	if slot, err := strconv.Atoi(s); err == nil {
		return l.slotTarget(s, slot)
	}
	addr, err := ipmb.ParseAddr(s)
	switch {
	case err != nil && strings.HasPrefix(s, "0x"):
		return Target{}, &problem.Error{Code: problem.Usage, What: "TARGET", Why: err}
	case err != nil:
		return Target{}, l.noTarget("%q is no TARGET of shelf %s", s, l.Name)
	case addr == ipmb.AddrShelfManager:
		return shelfTarget(), nil
	case addr.Slot() > 0:
		return l.slotTarget(s, addr.Slot())
	}
	return Target{Addr: addr, Name: addr.String()}, nil
}

// ResolveNode is ResolveTarget for what only a node has, such as a console.
func (l *Lab) ResolveNode(s string) (Target, error) {
	t, err := l.ResolveTarget(s)
	if err != nil {
		return Target{}, err
	}
	if t.Node == nil {
		return Target{}, l.noTarget("%s has no node", t.Name)
	}
	return t, nil
}

func shelfTarget() Target {
	return Target{Shelf: true, Addr: ipmb.AddrShelfManager, Name: "shelf"}
}

func nodeTarget(n *topology.Node) Target {
	return Target{Addr: n.Addr(), Slot: n.Slot, Node: n, Name: n.Name}
}

func (l *Lab) slotTarget(written string, slot int) (Target, error) {
	if slot < 1 || slot > ipmb.MaxSlot {
		return Target{}, problem.Usagef("TARGET %s: slots go from 1 to %d", written, ipmb.MaxSlot)
	}
	i := slices.IndexFunc(l.Topology.Nodes, func(n topology.Node) bool { return n.Slot == slot })
	if i >= 0 {
		return nodeTarget(&l.Topology.Nodes[i]), nil
	}
	addr := ipmb.SlotAddr(slot)
	return Target{Addr: addr, Slot: slot, Name: addr.String()}, nil
}

func (l *Lab) noTarget(format string, args ...any) error {
	names := []string{"shelf"}
	for _, n := range l.Topology.Nodes {
		names = append(names, fmt.Sprintf("%s (slot %d, %s)", n.Name, n.Slot, n.Addr()))
	}
	return problem.NotFoundf("there are: "+strings.Join(names, ", "), format, args...)
}
