package mc

// LoginKinds reports whether any user with a name, and whether the null user,
// may log in by a channel: what Get Channel Authentication Capabilities tells
// of them (IPMI 2.0 §22.13).
func (u *Users) LoginKinds(channel uint8) (named, null bool) {
	for id := uint8(1); id <= MaxUsers; id++ {
		one, err := u.get(id)
		if err != nil || !one.enabled || one.sealed == nil {
			continue
		}
		a, err := u.Account(channel, one.name, 1)
		clear(a.Password)
		if err != nil {
			continue
		}
		if one.name == "" {
			null = true
		} else {
			named = true
		}
	}
	return named, null
}
