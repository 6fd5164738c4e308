package topology

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/midplane-project/midplane/internal/yamlfile"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// labNet has the addresses of all shelves: 127.77.ID.SLOT.
var labNet = netip.MustParsePrefix("127.77.0.0/16")

const idBits = 24 // of a prefix within one shelf's addresses

// Hints gives, with its place, what a shelf file may have and hardly means.
func Hints(path string) ([]string, error) {
	s, file, err := read(path)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range file.Places(append(s.exposed(), s.floating()...)...) {
		all = append(all, e.Error())
	}
	return all, nil
}

// Exposed tells of doors that guests may open to everybody.
func (s *Shelf) Exposed() []string {
	var all []string
	for _, m := range s.exposed() {
		all = append(all, (&Error{File: FileName, Path: m.Path, Message: m.Message}).Error())
	}
	return all
}

func (s *Shelf) exposed() []yamlfile.Mistake {
	return s.eachAllowed(func(p rmcp.Place) string {
		if !p.Anywhere() {
			return ""
		}
		return "the guest, or an administrator of the door, may open it at any address of this machine"
	})
}

// floating finds places that are among the addresses of one id, in a shelf that
// takes the first free one.
func (s *Shelf) floating() []yamlfile.Mistake {
	if s.ID != 0 {
		return nil
	}
	return s.eachAllowed(func(p rmcp.Place) string {
		net := p.Prefix
		if !net.Addr().Is4() || !labNet.Contains(net.Addr()) || net.Bits() <= labNet.Bits() {
			return ""
		}
		id := int(net.Addr().As4()[2])
		switch {
		case net.Bits() < idBits:
			return "these are the addresses of some ids only, and the shelf takes the first free one: set id"
		case id < 1 || id > maxID: // nobody's
			return ""
		}
		return fmt.Sprintf("these are addresses of id %d, and the shelf takes the first free one: set id: %d", id, id)
	})
}

// eachAllowed gives what say has to say of the places where doors may be moved
// to, those of the defaults once.
func (s *Shelf) eachAllowed(say func(rmcp.Place) string) (all []yamlfile.Mistake) {
	told := map[string]bool{}
	for i, n := range s.Nodes {
		if !n.LAN.On() {
			continue
		}
		of := fmt.Sprintf("$.nodes[%d]", i)
		if slices.Equal(n.LAN.Allow, s.Defaults.LAN.Allow) {
			of = "$.defaults"
		}
		for j, allowed := range n.LAN.Allow {
			p, err := rmcp.ParsePlace(allowed)
			path := fmt.Sprintf("%s.lan.allow[%d]", of, j)
			if err != nil || told[path] {
				continue
			}
			if text := say(p); text != "" {
				told[path] = true
				all = append(all, yamlfile.Mistake{Path: path, Message: fmt.Sprintf("%q: %s", allowed, text)})
			}
		}
	}
	return all
}
