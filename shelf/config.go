package shelf

import (
	"errors"
	"fmt"

	"github.com/midplane-project/midplane/internal/jsonfile"
)

// Config is one replica, as the file of midplane shelf --config has it (JSON,
// unknown fields are errors).
type Config struct {
	Name string `json:"name"` // shm1, shm2, …; unique in the cluster
	// Dir holds the raft log, snapshots and the cluster's identity.
	Dir string `json:"dir"`
	// Listen is HOST:PORT for raft, the bus and the API alike.
	Listen string `json:"listen"`
	// Advertise is how others reach Listen; default: Listen itself.
	Advertise string `json:"advertise,omitempty"`
	// Expect is how many replicas form the cluster at first, this one included.
	Expect int `json:"expect"`
	// Seeds are the other replicas, HOST:PORT.
	Seeds []string `json:"seeds,omitempty"`
	// Timing is lab (200 ms elections) or lan (300 ms).
	Timing string `json:"timing"`
	// PKI is the directory with the replica's certificate, replica-NAME.
	PKI     string `json:"pki"`
	Cluster string `json:"cluster"` // cluster ID, as in the certificates
	// API is a further place for the API: unix:PATH (own user only).
	API string `json:"api,omitempty"`
	// Shelves are the shelves that this cluster runs.
	Shelves []Declared `json:"shelves"`
}

// Declared is one shelf of the cluster.
type Declared struct {
	Name string `json:"name"`
	// Slots that may be claimed, with their nodes' names; empty: all.
	Slots []DeclaredSlot `json:"slots,omitempty"`
	// LAN is the door at 0x20 over RMCP+; nil: there is none.
	LAN *LANDoor `json:"lan,omitempty"`
}

// DeclaredSlot is one slot that may be claimed.
type DeclaredSlot struct {
	Slot int    `json:"slot"`
	Name string `json:"name"`
}

// ReadConfig reads a replica's file.
func ReadConfig(path string) (*Config, error) {
	c := new(Config)
	if err := jsonfile.ReadStrict(path, c); err != nil {
		return nil, err
	}
	return c, nil
}

// Check finds what is missing or cannot be.
func (c *Config) Check() error {
	var all []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	need(c.Name != "", "name: which replica is this?")
	need(c.Dir != "", "dir: where shall the replica keep its state?")
	need(c.Listen != "", "listen: HOST:PORT is needed")
	need(c.Expect >= 1, "expect: %d replicas", c.Expect)
	need(c.Timing == "lab" || c.Timing == "lan", "timing: %q is neither lab nor lan", c.Timing)
	need(c.PKI != "", "pki: a replica needs a certificate (midplane cert issue replica/%s)", c.Name)
	for _, s := range c.Shelves {
		if s.LAN != nil {
			all = append(all, s.LAN.check(s.Name))
		}
	}
	need(c.Expect == 1 || len(c.Seeds) > 0, "seeds: where are the other %d replicas?", c.Expect-1)
	return errors.Join(all...)
}
