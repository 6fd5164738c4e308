package mc

import "github.com/midplane-project/midplane/ipmb"

// LANLogins are the ways to log in that a LAN channel offers.
type LANLogins struct {
	Suites    []CipherSuite // of RMCP+, the better first; empty: [CipherSuites]
	AuthTypes byte          // of IPMI 1.5, as a mask; 0: none
}

const (
	authLevels     = 5  // callback to OEM have an auth type each (IPMI 2.0 table 23-4, parameter 2)
	suiteLevels    = 9  // bytes of parameter 24
	limitedSuites  = 16 // suites that parameter 24 has a place for
	suitesPerByte  = 2
	suiteLevelBits = 4
)

// suiteIDs is the value of [LANSuites].
func (l LANLogins) suiteIDs() []byte {
	ids := []byte{0}
	for _, s := range offered(l.Suites) {
		ids = append(ids, s.ID)
	}
	return ids
}

// suitePrivileges is the default of [LANSuitePrivileges]: an administrator may
// use whatever is offered.
func (l LANLogins) suitePrivileges() []byte {
	v := make([]byte, suiteLevels)
	for _, s := range offered(l.Suites) {
		if s.ID < limitedSuites {
			v[1+s.ID/suitesPerByte] |= byte(ipmb.PrivilegeAdmin) << (suiteLevelBits * (s.ID % suitesPerByte))
		}
	}
	return v
}

// SuiteLimit is the highest privilege of a login by a cipher suite,
// [ipmb.PrivilegeNone] where the suite is not to be used. A suite that has no
// place in [LANSuitePrivileges] has no limit.
func (l *LAN) SuiteLimit(id uint8) ipmb.Privilege {
	if id >= limitedSuites {
		return ipmb.PrivilegeOEM
	}
	v := l.Get(LANSuitePrivileges, 0)
	return ipmb.Privilege(v[1+id/suitesPerByte] >> (suiteLevelBits * (id % suitesPerByte)) & limitMask)
}

// AuthEnabled is the mask of the IPMI 1.5 auth types by which a session of that
// level may be had.
func (l *LAN) AuthEnabled(level ipmb.Privilege) byte {
	if level < ipmb.PrivilegeCallback || level > ipmb.PrivilegeOEM {
		return 0
	}
	return l.Get(LANAuthEnables, 0)[level-ipmb.PrivilegeCallback] & l.Get(LANAuthSupport, 0)[0]
}
