package trust

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// DefaultTTL is how long a certificate holds unless its Options say otherwise.
const DefaultTTL = 365 * 24 * time.Hour

// Options are what a certificate carries besides its identity.
type Options struct {
	TTL time.Duration // 0: DefaultTTL; never beyond the authority's own end
	// DNS and IP are for clients such as grpcurl that check names; Midplane's
	// own clients check the identity.
	DNS []string
	IP  []net.IP
}

// Issue makes a certificate for id with a new key and stores both as
// ROLE-NAME.pem and .key (0600). It fails with fs.ErrExist while an earlier
// one holds: renew that, or revoke it first.
func (a *Authority) Issue(id Identity, opts Options) (Pair, error) {
	if id.Cluster == "" {
		id.Cluster = a.cluster
	}
	return a.change("issue", id, func(b books) (Pair, error) {
		if old, ok := b.current(id.Subject()); ok && !old.Revoked() && !old.Expired(time.Now()) {
			return Pair{}, fmt.Errorf("serial %s holds until %s: %w", old.Serial, old.NotAfter.Format(time.RFC3339), fs.ErrExist)
		}
		return a.sign(b, id, opts)
	})
}

// Renew replaces id's certificate and key with new ones for the same names. It
// holds for ttl, or as long as the old one did when ttl is 0. The old
// certificate stays good until its end, so that daemons change over in their
// own time; revoke its serial to end it at once.
func (a *Authority) Renew(id Identity, ttl time.Duration) (Pair, error) {
	if id.Cluster == "" {
		id.Cluster = a.cluster
	}
	return a.change("renew", id, func(b books) (Pair, error) {
		old, ok := b.current(id.Subject())
		if !ok {
			return Pair{}, fmt.Errorf("never issued: %w", fs.ErrNotExist)
		}
		if old.Revoked() {
			return Pair{}, fmt.Errorf("%w: issue a new one", ErrRevoked)
		}
		opts, err := a.optionsOf(id)
		if err != nil {
			return Pair{}, err
		}
		if ttl != 0 {
			opts.TTL = ttl
		}
		return a.sign(b, id, opts)
	})
}

// change runs do as the only writer, for an identity of this cluster.
func (a *Authority) change(verb string, id Identity, do func(books) (Pair, error)) (Pair, error) {
	fail := func(err error) (Pair, error) {
		return Pair{}, fmt.Errorf("%s certificate for %s: %w", verb, id.Subject(), err)
	}
	if err := id.Validate(); err != nil {
		return fail(err)
	}
	if id.Cluster != a.cluster {
		return fail(fmt.Errorf("%w: this is the authority of %s, not %s", ErrWrongCluster, a.cluster, id.Cluster))
	}
	unlock, err := lockDir(a.dir)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	b, err := a.readBooks()
	if err != nil {
		return fail(err)
	}
	pair, err := do(b)
	if err != nil {
		return fail(err)
	}
	return pair, nil
}

// optionsOf reads back from a stored certificate what it was issued with.
func (a *Authority) optionsOf(id Identity) (Options, error) {
	path := filepath.Join(a.dir, id.base()+".pem")
	data, err := os.ReadFile(path)
	if err != nil {
		return Options{}, err
	}
	cert, err := parseCert(data)
	if err != nil {
		return Options{}, fmt.Errorf("%s: %w", path, err)
	}
	ttl := cert.NotAfter.Sub(cert.NotBefore) - backdate
	return Options{TTL: ttl, DNS: cert.DNSNames, IP: cert.IPAddresses}, nil
}

// sign books the serial before anybody can hold the certificate: what was
// issued can be revoked by name, also after a crash in between.
func (a *Authority) sign(b books, id Identity, opts Options) (Pair, error) {
	tmpl, err := a.template(id, opts)
	if err != nil {
		return Pair{}, err
	}
	key, keyPEM, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		return Pair{}, err
	}
	serial := serialString(tmpl.SerialNumber)
	entry := Issued{Serial: serial, Subject: id.Subject(), NotBefore: tmpl.NotBefore, NotAfter: tmpl.NotAfter}
	if err := a.addIssued(b, entry); err != nil {
		return Pair{}, err
	}
	pair := Pair{Identity: id, Serial: serial, cert: certPEM(der), key: keyPEM}
	base := filepath.Join(a.dir, id.base())
	return pair, errors.Join(
		replaceFile(base+".key", pair.key, secretMode),
		replaceFile(base+".pem", pair.cert, secretMode),
	)
}

func (a *Authority) template(id Identity, opts Options) (*x509.Certificate, error) {
	if opts.TTL < 0 {
		return nil, fmt.Errorf("time to live %s: want more than 0", opts.TTL)
	}
	if opts.TTL == 0 {
		opts.TTL = DefaultTTL
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse(id.URI())
	if err != nil {
		return nil, err
	}
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if id.Role.daemon() {
		usage = append(usage, x509.ExtKeyUsageServerAuth)
	}
	now := time.Now().UTC()
	end := now.Add(opts.TTL)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: id.Subject()},
		URIs:                  []*url.URL{uri},
		DNSNames:              opts.DNS,
		IPAddresses:           opts.IP,
		NotBefore:             now.Add(-backdate).Truncate(time.Second),
		NotAfter:              end.Truncate(time.Second),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usage,
		BasicConstraintsValid: true,
	}, nil
}

func serialString(n *big.Int) string { return n.Text(16) }
