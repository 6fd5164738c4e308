package mc

// MayUseSOL reports whether a user may open a serial-over-LAN payload by a
// channel (IPMI 2.0 §24.6).
func (u *Users) MayUseSOL(channel, id uint8) bool {
	one, err := u.get(id)
	return err == nil && one.on(channel).SOL
}
