package trust

import "errors"

// Reasons for which a peer is refused; errors wrap them with who and why.
var (
	ErrNoCertificate = errors.New("no certificate")
	ErrUntrusted     = errors.New("certificate is not from this cluster's authority")
	ErrWrongCluster  = errors.New("certificate of another cluster")
	ErrWrongRole     = errors.New("certificate of the wrong role")
	ErrExpired       = errors.New("certificate outside its dates")
	ErrRevoked       = errors.New("certificate was revoked")
)
