package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/internal/trust"
)

// EnvShelf names the shelf when no flag does.
const EnvShelf = "MIDPLANE_SHELF"

// Lab is one shelf on this machine: what was asked for and where it is. It says
// nothing about what runs at present.
type Lab struct {
	Name     string
	Home     Home
	StateDir string
	Topology *topology.Shelf
	Choices

	claim net.PacketConn // nil but while the shelf is brought up
}

// Choices are what was chosen when the shelf first came up, and is kept.
type Choices struct {
	RunDir  string `json:"run"`                // for sockets
	Cluster string `json:"cluster"`            // cluster ID, as in the certificates
	ID      int    `json:"id"`                 // tells shelves on one machine apart
	Ports   []int  `json:"ports"`              // of the replicas
	LANPort int    `json:"lan_port,omitempty"` // of the LAN doors
	Compact bool   `json:"compact"`            // one process has all
	Source  string `json:"source"`             // the shelf file, or empty for the built-in shelf

	// Accels and Images are kept while anything of the shelf runs, so that new
	// package lists or a new probe restart no VM.
	Accels map[string]string `json:"accels,omitempty"` // by QEMU binary
	Images map[string]Image  `json:"images,omitempty"` // lab guests, by kernel and modules
}

// Image is a lab guest.
type Image struct {
	Kernel  string `json:"kernel"`
	Initrd  string `json:"initrd"`
	Version string `json:"version"`
}

// Open reads the shelf called name.
func Open(name string) (*Lab, error) {
	h, err := OpenHome()
	if err != nil {
		return nil, err
	}
	return h.Open(name)
}

// Open reads the shelf called name.
func (h Home) Open(name string) (*Lab, error) {
	l := h.at(name)
	t, err := topology.Read(filepath.Join(l.StateDir, topology.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, h.missing(name)
	}
	if err != nil {
		return nil, &problem.Error{
			Code: problem.Failed, What: "the shelf " + name + " cannot be read", Why: err,
			Do: "bring it up again with its shelf.yaml: midplane up -f FILE",
		}
	}
	l.Topology = t
	if err := jsonfile.Read(l.choicesPath(), &l.Choices); err != nil {
		return nil, err
	}
	return l, nil
}

// at names the directories of a shelf that may not exist yet.
func (h Home) at(name string) *Lab {
	l := &Lab{Name: name, Home: h, StateDir: filepath.Join(h.State, name)}
	// Equal names under two state directories must not meet.
	l.RunDir = filepath.Join(h.Run, name+"-"+shortHash(l.StateDir))
	return l
}

func (h Home) missing(name string) error {
	do := "midplane up starts one; midplane ls lists what there is"
	if names, err := h.Names(); err == nil && len(names) > 0 {
		do = "shelves here: " + strings.Join(names, ", ")
	}
	return problem.NotFoundf(do, "there is no shelf %q", name)
}

// Names lists the shelves that have state here.
func (h Home) Names() ([]string, error) {
	entries, err := os.ReadDir(h.State)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(h.State, e.Name(), topology.FileName)); err == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Find picks the shelf that a command means: the one that the flag names, else
// MIDPLANE_SHELF, else that of the shelf.yaml in the working directory, else
// the only one there is.
func Find(flag string) (*Lab, error) {
	h, err := OpenHome()
	if err != nil {
		return nil, err
	}
	if name := first(flag, os.Getenv(EnvShelf)); name != "" {
		return h.Open(name)
	}
	names, err := h.Names()
	if err != nil {
		return nil, err
	}
	if t, err := topology.Read(topology.FileName); err == nil && slices.Contains(names, t.Name) {
		return h.Open(t.Name)
	}
	switch len(names) {
	case 0:
		return nil, problem.NotFoundf("midplane up starts the built-in one", "there is no shelf on this machine")
	case 1:
		return h.Open(names[0])
	}
	return nil, &problem.Error{
		Code: problem.Usage, What: "there are several shelves: " + strings.Join(names, ", "),
		Do: "say which: --shelf NAME, or set " + EnvShelf,
	}
}

// AdminCredentials are those of the shelf's administrator, for TLS.
func (l *Lab) AdminCredentials() (*trust.Credentials, error) {
	return trust.LoadCredentials(l.PKIDir(), adminSubject)
}

// adminSubject is the person who runs the lab.
const adminSubject = "admin/lab"

// PKIDir has the certificate authority and all certificates.
func (l *Lab) PKIDir() string { return filepath.Join(l.StateDir, "pki") }

// NodeDir is the state of a node.
func (l *Lab) NodeDir(name string) string { return filepath.Join(l.StateDir, "nodes", name) }

// ReplicaDir is the state of a replica.
func (l *Lab) ReplicaDir(name string) string { return filepath.Join(l.StateDir, "replicas", name) }

// ConsolePath is the record of a VM's serial console.
func (l *Lab) ConsolePath(node string) string { return filepath.Join(l.NodeDir(node), "console.log") }

// VMUUID is the UUID of a node's VM, by which its process is known: the same
// as long as the shelf's state exists.
func (l *Lab) VMUUID(node string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("midplane://"+l.Cluster+"/vm/"+l.Name+"/"+node)).String()
}

func (l *Lab) choicesPath() string { return filepath.Join(l.StateDir, "lab.json") }

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}
