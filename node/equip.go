package node

import (
	"github.com/midplane-project/midplane/node/template"
)

// equip gives the controller the hardware of the node's template.
func (n *Node) equip(p *parts) error {
	p.template = template.BuiltIn()
	if n.cfg.Profile == ProfileFanTray {
		p.template = template.FanTray()
	}
	if n.cfg.Template != "" {
		var err error
		if p.template, err = template.Load(n.cfg.Template); err != nil {
			return err
		}
	}
	for _, why := range p.template.Skipped {
		n.log.Info("not taken from the template's SDR dump", "record", why)
	}
	id := n.identity()
	for _, f := range p.template.FRUs {
		f.Entity = id.situated(f.Entity)
		p.frus = append(p.frus, f)
	}
	p.load, p.air = n.meteredVM().load, n.airflow
	p.faultIDs = func() uint32 { return n.faultIDs.Add(1) }
	return nil
}
