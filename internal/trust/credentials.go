package trust

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"
)

// Files says where a process finds what it proves itself and judges others by.
type Files struct {
	CA      string // the cluster's certificate
	Cert    string
	Key     string // not readable by others than owner and group
	Revoked string // revocation list; "" for none
}

// FilesIn names the files of an identity, given as "replica/shm1", in the
// directory of an authority or a copy of it.
func FilesIn(dir, subject string) (Files, error) {
	id, err := ParseSubject("any", subject)
	if err != nil {
		return Files{}, err
	}
	base := filepath.Join(dir, id.base())
	return Files{
		CA:      filepath.Join(dir, caFile),
		Cert:    base + ".pem",
		Key:     base + ".key",
		Revoked: filepath.Join(dir, revokedFile),
	}, nil
}

// Credentials are one process's own certificate and its view of the cluster's
// CA and revocation list. The certificate, the key and the list are read again
// when their files change; a file that has become unreadable leaves the last
// good version in force and logs a warning.
type Credentials struct {
	files   Files
	ca      *x509.Certificate
	roots   *x509.CertPool
	cluster string
	id      Identity
	log     *slog.Logger

	mu           sync.Mutex
	own          *tls.Certificate
	ownStamp     [2]stamp // of Cert and Key
	revoked      map[string]bool
	revokedStamp stamp
	complaint    string // the last one about the list: each is logged once
}

// LoadCredentials loads the credentials of subject, such as "node/lab/2", from
// the directory of an authority.
func LoadCredentials(dir, subject string) (*Credentials, error) {
	files, err := FilesIn(dir, subject)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	return LoadFiles(files)
}

// LoadFiles loads credentials from single files.
func LoadFiles(files Files) (*Credentials, error) {
	ca, cluster, err := readCA(files.CA)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	c := &Credentials{files: files, ca: ca, cluster: cluster, roots: x509.NewCertPool(), log: slog.Default()}
	c.roots.AddCert(ca)
	if c.own, c.id, err = c.readOwn(); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if files.Revoked != "" {
		if err = c.refreshRevoked(); err != nil {
			return nil, fmt.Errorf("credentials: revocation list: %w", err)
		}
	}
	return c, nil
}

// Identity is who these credentials speak for.
func (c *Credentials) Identity() Identity { return c.id }

// NotAfter is when the own certificate ends.
func (c *Credentials) NotAfter() time.Time { return c.certificate().Leaf.NotAfter }

// ExpiresWithin reports whether the own certificate or the CA's ends within d.
func (c *Credentials) ExpiresWithin(d time.Duration) bool {
	t := time.Now().Add(d)
	return t.After(c.NotAfter()) || t.After(c.ca.NotAfter)
}

// Check judges a certificate that is known to chain to this cluster's CA: its
// identity, its cluster, its dates and whether it was revoked since.
func (c *Credentials) Check(cert *x509.Certificate) (Identity, error) {
	id, err := identityOf(cert)
	if err != nil {
		return Identity{}, err
	}
	if id.Cluster != c.cluster {
		return Identity{}, fmt.Errorf("%w: %s, here is %s", ErrWrongCluster, id, c.cluster)
	}
	if now := time.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return Identity{}, fmt.Errorf("%w: %s holds from %s to %s", ErrExpired, id,
			cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339))
	}
	if serial := serialString(cert.SerialNumber); c.isRevoked(serial) {
		return Identity{}, fmt.Errorf("%w: %s, serial %s", ErrRevoked, id, serial)
	}
	return id, nil
}

// verifyServer judges a chain as a server presents it.
func (c *Credentials) verifyServer(chain []*x509.Certificate) (Identity, error) {
	if len(chain) == 0 {
		return Identity{}, ErrNoCertificate
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:       c.roots,
		CurrentTime: time.Now(),
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return c.Check(chain[0])
}

// readOwn reads the own pair and makes sure that it is of this cluster.
func (c *Credentials) readOwn() (*tls.Certificate, Identity, error) {
	var err error
	for i, path := range []string{c.files.Cert, c.files.Key} {
		if c.ownStamp[i], err = stampOf(path); err != nil {
			return nil, Identity{}, err
		}
	}
	pair, err := readPair(c.files)
	if err != nil {
		return nil, Identity{}, err
	}
	id, err := identityOf(pair.Leaf)
	if err != nil {
		return nil, Identity{}, fmt.Errorf("%s: %w", c.files.Cert, err)
	}
	if err := pair.Leaf.CheckSignatureFrom(c.ca); err != nil || id.Cluster != c.cluster {
		return nil, Identity{}, fmt.Errorf("%s: %w: %s is not from the CA in %s", c.files.Cert, ErrWrongCluster, id, c.files.CA)
	}
	return pair, id, nil
}
