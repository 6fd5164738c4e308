package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Pair is an issued certificate with its private key. It prints and logs
// without the key.
type Pair struct {
	Identity Identity
	Serial   string // hexadecimal
	cert     []byte
	key      []byte
}

// CertPEM is the certificate.
func (p Pair) CertPEM() []byte { return bytes.Clone(p.cert) }

// KeyPEM is the private key: PKCS #8, not encrypted.
func (p Pair) KeyPEM() []byte { return bytes.Clone(p.key) }

func (p Pair) String() string { return fmt.Sprintf("%s (serial %s)", p.Identity, p.Serial) }

// Format prints p as String does under every verb, so that no %+v shows the key.
func (p Pair) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue keeps the key out of logs.
func (p Pair) LogValue() slog.Value { return slog.StringValue(p.String()) }

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// parseCert reads the one certificate of a PEM file.
func parseCert(data []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM certificate")
	}
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, errors.New("more than one certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no PEM private key (PKCS #8)")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T: want ECDSA P-256", key)
	}
	return ec, nil
}

// identityOf reads the one identity of a certificate.
func identityOf(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 {
		return Identity{}, fmt.Errorf("certificate has %d URIs, want one identity", len(cert.URIs))
	}
	return ParseIdentity(cert.URIs[0].String())
}

// clusterOf reads the cluster ID of a CA certificate.
func clusterOf(ca *x509.Certificate) (string, error) {
	if !ca.IsCA || len(ca.URIs) != 1 || ca.URIs[0].Scheme+"://" != scheme {
		return "", errors.New("not a midplane cluster's CA certificate")
	}
	cluster := ca.URIs[0].Host
	return cluster, validCluster(cluster)
}
