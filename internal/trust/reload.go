package trust

import (
	"crypto/tls"
	"fmt"
	"os"
)

// readPair reads a certificate and its key, which must belong together: while
// a renewal is under way they do not.
func readPair(files Files) (*tls.Certificate, error) {
	cert, err := os.ReadFile(files.Cert)
	if err != nil {
		return nil, err
	}
	key, err := readSecret(files.Key, 0o007)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", files.Cert, files.Key, err)
	}
	return &pair, nil
}

// certificate is the own certificate, renewed if its files say so.
func (c *Credentials) certificate() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ownChanged() {
		return c.own
	}
	pair, id, err := c.readOwn()
	if err == nil && id != c.id {
		err = fmt.Errorf("%s now holds %s, was %s", c.files.Cert, id, c.id)
	}
	if err != nil {
		c.log.Warn("keeping the certificate in use", "identity", c.id.URI(), "err", err)
		return c.own
	}
	c.own = pair
	c.log.Info("certificate renewed", "identity", c.id.URI(), "not_after", pair.Leaf.NotAfter)
	return c.own
}

func (c *Credentials) ownChanged() bool {
	for i, path := range []string{c.files.Cert, c.files.Key} {
		if s, err := stampOf(path); err != nil || s != c.ownStamp[i] {
			return true
		}
	}
	return false
}

// isRevoked looks a serial up in the list as it is on disk now.
func (c *Credentials) isRevoked(serial string) bool {
	if c.files.Revoked == "" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.refreshRevoked()
	if err != nil && err.Error() != c.complaint {
		c.log.Warn("keeping the last revocation list", "err", err)
		c.complaint = err.Error()
	}
	if err == nil {
		c.complaint = ""
	}
	return c.revoked[serial]
}

// refreshRevoked takes the stamp before it reads, so that a change in between
// is seen next time.
func (c *Credentials) refreshRevoked() error {
	now, err := stampOf(c.files.Revoked)
	if err != nil || now == c.revokedStamp {
		return err
	}
	list, err := readRevoked(c.files.Revoked)
	if err != nil {
		return err
	}
	c.revoked, c.revokedStamp = list, now
	return nil
}
