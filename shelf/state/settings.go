package state

import (
	"bytes"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// ConfigLease is the setting that overrides Config.Lease: a duration as
// time.ParseDuration reads it.
const ConfigLease = "lease"

const (
	maxSettings     = 1024
	maxSettingKey   = 255
	maxSettingValue = 1 << 20
)

// setConfig stores a setting; an empty value deletes it.
func (s *State) setConfig(c *v1.SetConfig) *v1.Answer {
	key, value := c.GetKey(), c.GetValue()
	_, there := s.settings[key]
	switch {
	case key == "" || len(key) > maxSettingKey || len(value) > maxSettingValue:
		return invalid("a setting's name has 1 to %d bytes and its value up to %d", maxSettingKey, maxSettingValue)
	case len(value) > 0 && !there && len(s.settings) >= maxSettings:
		return &v1.Answer{CompletionCode: uint32(ipmb.ErrOutOfSpace), Refusal: fmt.Sprintf("a cluster holds at most %d settings", maxSettings)}
	}
	if key == ConfigLease {
		if err := s.setLease(value); err != nil {
			return invalid("%v", err)
		}
	}
	if len(value) == 0 {
		delete(s.settings, key)
	} else {
		s.settings[key] = bytes.Clone(value)
	}
	return &v1.Answer{}
}

func (s *State) setLease(value []byte) error {
	if len(value) == 0 {
		s.lease = s.config.Lease
		return nil
	}
	d, err := time.ParseDuration(string(value))
	if err != nil || d <= 0 {
		return fmt.Errorf("lease %q: want a duration such as 10s", value)
	}
	s.lease = d
	return nil
}
