package node

// restorePolicy says whether the VM starts with its host (IPMI 2.0 §28.8).
type restorePolicy uint8

// Policies.
const (
	restoreOff      restorePolicy = 0
	restorePrevious restorePolicy = 1 // as it was
	restoreOn       restorePolicy = 2
	restoreQuery    restorePolicy = 3 // of the command: changes nothing

	restoreSupported = 1<<restoreOff | 1<<restorePrevious | 1<<restoreOn
)

// restore decides by the policy whether the VM starts after a restart of the
// host: its kernel is another one than before, and the VM's process is gone. A
// restart of the node alone finds the VM as it was.
func (h *host) restore() error {
	last, now := h.life.get(), h.life.hostBoot
	if now == "" || last.Host == now {
		return nil
	}
	if last.Host == "" || h.On() { // the node is new, or its VM moved here with it
		return h.life.update(func(s *lifeState) { s.Host = now })
	}
	was := h.wants()
	on, cause := was, causePrevious
	switch last.Policy {
	case restoreOff:
		on = false
	case restoreOn:
		on, cause = true, causeAlwaysOn
	}
	if err := h.want(on); err != nil {
		return err
	}
	h.log.Info("host was restarted", "policy", last.Policy, "was on", was, "on", on)
	return h.life.update(func(s *lifeState) {
		s.Host, s.Order, s.Event = now, "", 0
		if was {
			s.Event = eventHostFailed
		}
		if s.Due = 0; on {
			s.Cause, s.Due = restart{Cause: cause}, forever
		}
	})
}
