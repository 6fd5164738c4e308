package node

import (
	"fmt"
	"io/fs"
	"net"
	"strings"

	"github.com/midplane-project/midplane/internal/port"
)

// defaultSocketMode lets only the node's own user in: whoever holds the VM
// socket can speak as the guest.
const defaultSocketMode = 0o600

// ParseListen reads unix:PATH or tcp:HOST:PORT, as --vm has it.
func ParseListen(s string) (Listen, error) {
	kind, rest, ok := strings.Cut(s, ":")
	if !ok || rest == "" || (kind != "unix" && kind != "tcp") {
		return Listen{}, fmt.Errorf("%q: want unix:PATH or tcp:HOST:PORT", s)
	}
	return Listen{Address: s}, nil
}

func (l Listen) open() (net.Listener, error) {
	if _, err := ParseListen(l.Address); err != nil {
		return nil, err
	}
	kind, rest, _ := strings.Cut(l.Address, ":")
	if kind == "tcp" {
		return net.Listen("tcp", rest)
	}
	mode := fs.FileMode(l.Mode)
	if mode == 0 {
		mode = defaultSocketMode
	}
	return port.ListenUnix(rest, mode, l.Group)
}
