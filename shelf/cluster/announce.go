package cluster

import "time"

// announce tells the cluster where this replica is now, if it restarted at
// another address than the members know. It ends when they know, or when the
// cluster refuses it.
func (c *Cluster) announce() {
	if c.cfg.Seeder == nil {
		return
	}
	tick := time.NewTicker(2 * c.cfg.Profile.Heartbeat)
	defer tick.Stop()
	for !c.knownHere() {
		if err := c.announceOnce(); hopeless(err) {
			c.fail(err)
			return
		}
		select {
		case <-tick.C:
		case <-c.broken:
			return
		case <-c.ctx.Done():
			return
		}
	}
}

// knownHere says whether this replica is a member at its address. With no
// members known at all it has been let in and waits for the leader.
func (c *Cluster) knownHere() bool {
	members, err := c.Members()
	if err != nil || len(members) == 0 {
		return err == nil
	}
	for _, m := range members {
		if m.ID == c.cfg.NodeID {
			return m.Address == c.cfg.Address
		}
	}
	return true // removed: an operator's decision, not ours to undo
}

func (c *Cluster) announceOnce() error {
	addr, s, ok := c.survey().cluster()
	if !ok {
		return nil
	}
	if s.Leader.Address != "" {
		addr = s.Leader.Address
	}
	_, err := c.askJoin(c.ctx, addr, JoinRequest{
		NodeID: c.cfg.NodeID, Address: c.cfg.Address, ClusterID: c.ClusterID(),
	})
	if err != nil {
		c.cfg.Logger.Debug("the new address is not known yet", "asked", addr, "error", err)
	}
	return err
}
