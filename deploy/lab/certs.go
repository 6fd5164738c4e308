package lab

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/internal/trust"
)

// renewBefore is how long before its end a certificate of the lab is renewed.
const renewBefore = 30 * 24 * time.Hour

// Authority opens the shelf's certificate authority.
func (l *Lab) Authority() (*trust.Authority, error) {
	ca, err := trust.OpenAuthority(l.PKIDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.NotFoundf("midplane up makes them", "shelf %s has no certificates", l.Name)
	}
	return ca, err
}

// ensureCerts makes the authority once, and the certificates that are missing.
func (l *Lab) ensureCerts() (made int, err error) {
	ca, err := trust.OpenAuthority(l.PKIDir())
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(l.PKIDir(), 0o700); err != nil {
			return 0, err
		}
		ca, err = trust.NewAuthority(l.PKIDir(), l.Cluster)
	}
	if err != nil {
		return 0, err
	}
	l.Cluster = ca.Cluster()
	expiring, err := ca.ExpiresWithin(renewBefore)
	if err != nil {
		return 0, err
	}
	for _, old := range expiring {
		id, err := trust.ParseSubject(l.Cluster, old.Subject)
		if err != nil {
			return made, err
		}
		if _, err := ca.Renew(id, 0); err != nil {
			return made, err
		}
		made++
	}
	for _, id := range l.identities() {
		opts := trust.Options{}
		if id.Role == trust.Replica {
			opts.DNS, opts.IP = []string{"localhost"}, []net.IP{net.ParseIP(l.Topology.Listen)}
		}
		_, err := ca.Issue(id, opts)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return made, err
		}
		made++
	}
	return made, nil
}

// identities are all that need a certificate.
func (l *Lab) identities() []trust.Identity {
	all := []trust.Identity{{Role: trust.Admin, Cluster: l.Cluster, Name: "lab"}}
	for i := range l.Topology.Replicas {
		all = append(all, trust.Identity{Role: trust.Replica, Cluster: l.Cluster, Name: topology.ReplicaName(i)})
	}
	for _, n := range l.Topology.Nodes {
		all = append(all, trust.Identity{Role: trust.Node, Cluster: l.Cluster, Shelf: l.Name, Slot: n.Slot})
	}
	return all
}
