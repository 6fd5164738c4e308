package trust

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	caTTL = 10 * 365 * 24 * time.Hour
	// backdate lets hosts whose clocks differ a little accept a new certificate.
	backdate = 5 * time.Minute
)

// Authority is a cluster's certificate authority on disk: ca.pem, ca-key.pem,
// issued.json, revoked.json and a .pem and .key file per issued identity. Its
// methods may be called from several goroutines and processes at once.
type Authority struct {
	dir     string
	cluster string
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
}

// NewAuthority creates the authority of a new cluster in dir. It fails with an
// error that is fs.ErrExist when dir has one already.
func NewAuthority(dir, clusterID string) (*Authority, error) {
	if err := validCluster(clusterID); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Stat(filepath.Join(dir, caFile)); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("certificate authority in %s: %w", dir, errors.Join(err, fs.ErrExist))
	}
	if err := createCA(dir, clusterID); err != nil {
		return nil, fmt.Errorf("certificate authority in %s: %w", dir, err)
	}
	return OpenAuthority(dir)
}

// createCA writes ca.pem last: it is what makes an authority exist.
func createCA(dir, cluster string) error {
	key, keyPEM, err := newKey()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, caTemplate(cluster), caTemplate(cluster), key.Public(), key)
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, caKeyFile), keyPEM, secretMode); err != nil {
		return err
	}
	for _, list := range []string{issuedFile, revokedFile} {
		if err := writeJSON(filepath.Join(dir, list), []Issued{}); err != nil {
			return err
		}
	}
	return replaceFile(filepath.Join(dir, caFile), certPEM(der), publicMode)
}

func caTemplate(cluster string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "midplane cluster " + cluster},
		URIs:                  []*url.URL{{Scheme: "midplane", Host: cluster}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caTTL),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
}

// OpenAuthority opens the authority in dir. The error is fs.ErrNotExist when
// there is none.
func OpenAuthority(dir string) (*Authority, error) {
	cert, cluster, err := readCA(filepath.Join(dir, caFile))
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	path := filepath.Join(dir, caKeyFile)
	data, err := readSecret(path, 0o077)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %s: %w", path, err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("certificate authority: %s is not the key of %s", path, caFile)
	}
	return &Authority{dir: dir, cluster: cluster, cert: cert, key: key}, nil
}

func readCA(path string) (cert *x509.Certificate, cluster string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	if cert, err = parseCert(data); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	if cluster, err = clusterOf(cert); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	return cert, cluster, nil
}

// Cluster is the cluster ID.
func (a *Authority) Cluster() string { return a.cluster }

// Dir is where the authority keeps its files.
func (a *Authority) Dir() string { return a.dir }

// NotAfter is when the authority's own certificate, and with it every other,
// ends.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }
