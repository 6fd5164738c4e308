package pef

import (
	"cmp"
	"slices"
)

// plan is what is done about one event: at most one thing to the VM, and
// alerts by any number of policy sets.
type plan struct {
	Actions Action
	Filter  int // number of the filter that asked for what is done to the VM
	Alerts  []alert
}

// alert is one policy set to go through for an event.
type alert struct {
	Policy   uint8
	Filter   int // the first that asked, whose strings are meant by an event-specific key
	Severity Severity
}

// byPriority are the actions on the VM of which only the first is taken when
// filters ask for several (IPMI 2.0 table 17-3). Alerts are sent in any case.
var byPriority = []Action{ActionPowerOff, ActionPowerCycle, ActionReset, ActionNMI}

// decide compares an event with all filters. Only globally enabled actions count.
func decide(filters []Filter, enabled Action, e Event) (p plan) {
	var wanted Action
	asked := make(map[Action]int) // the first filter that asked
	for i := range filters {
		f := &filters[i]
		if !f.Match(e) {
			continue
		}
		actions := f.Actions & enabled
		wanted |= actions
		for _, a := range byPriority {
			if actions&a != 0 && asked[a] == 0 {
				asked[a] = i + 1
			}
		}
		if actions&ActionAlert != 0 {
			p.addAlert(alert{f.Policy, i + 1, f.Severity})
		}
	}
	for _, a := range byPriority {
		if wanted&a != 0 {
			p.Actions, p.Filter = a, asked[a]
			break
		}
	}
	p.Actions |= wanted & ActionAlert
	slices.SortStableFunc(p.Alerts, func(a, b alert) int { return cmp.Compare(a.Policy, b.Policy) })
	return p
}

// addAlert notes a policy set once, with the worst severity of those that name it.
func (p *plan) addAlert(a alert) {
	for i := range p.Alerts {
		if p.Alerts[i].Policy == a.Policy {
			p.Alerts[i].Severity = max(p.Alerts[i].Severity, a.Severity)
			return
		}
	}
	p.Alerts = append(p.Alerts, a)
}
