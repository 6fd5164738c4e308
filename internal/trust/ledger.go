package trust

import (
	"path/filepath"
	"time"
)

// Issued is one certificate in the authority's books, or in its list of
// revoked ones.
type Issued struct {
	Serial    string    `json:"serial"` // hexadecimal
	Subject   string    `json:"subject"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	// Current is set by List on the latest certificate of each subject.
	Current bool `json:"-"`
}

// Revoked reports whether the certificate was revoked.
func (i Issued) Revoked() bool { return !i.RevokedAt.IsZero() }

// Expired reports whether the certificate has ended at t.
func (i Issued) Expired(t time.Time) bool { return t.After(i.NotAfter) }

// books is what the authority knows of its certificates, oldest first.
type books struct{ issued, revoked []Issued }

func (a *Authority) readBooks() (b books, err error) {
	if err = readJSON(filepath.Join(a.dir, issuedFile), &b.issued); err != nil {
		return books{}, err
	}
	if err = readJSON(filepath.Join(a.dir, revokedFile), &b.revoked); err != nil {
		return books{}, err
	}
	return b, nil
}

// list merges both files: issued certificates with the time of revocation, and
// revoked ones that are known by serial alone.
func (b books) list() []Issued {
	at := make(map[string]time.Time, len(b.revoked))
	for _, r := range b.revoked {
		at[r.Serial] = r.RevokedAt
	}
	last := make(map[string]int)
	out := make([]Issued, 0, len(b.issued)+len(b.revoked))
	for i, c := range b.issued {
		c.RevokedAt = at[c.Serial]
		delete(at, c.Serial)
		last[c.Subject] = i
		out = append(out, c)
	}
	for _, i := range last {
		out[i].Current = true
	}
	for _, r := range b.revoked {
		if _, ok := at[r.Serial]; ok {
			out = append(out, r)
		}
	}
	return out
}

// current is the latest certificate of a subject.
func (b books) current(subject string) (Issued, bool) {
	for _, c := range b.list() {
		if c.Current && c.Subject == subject {
			return c, true
		}
	}
	return Issued{}, false
}

// List gives every certificate that was issued and has not both expired and
// been superseded, and every revoked one, oldest first.
func (a *Authority) List() ([]Issued, error) {
	b, err := a.readBooks()
	if err != nil {
		return nil, err
	}
	return b.list(), nil
}

// ExpiresWithin lists the certificates in use that end within d or have ended:
// what somebody should renew.
func (a *Authority) ExpiresWithin(d time.Duration) ([]Issued, error) {
	all, err := a.List()
	if err != nil {
		return nil, err
	}
	var due []Issued
	for _, c := range all {
		if c.Current && !c.Revoked() && c.Expired(time.Now().Add(d)) {
			due = append(due, c)
		}
	}
	return due, nil
}

// addIssued books a certificate and forgets superseded ones that have expired.
func (a *Authority) addIssued(b books, c Issued) error {
	kept := make([]Issued, 0, len(b.issued)+1)
	for _, old := range b.issued {
		if old.Subject != c.Subject || !old.Expired(time.Now()) {
			kept = append(kept, old)
		}
	}
	return writeJSON(filepath.Join(a.dir, issuedFile), append(kept, c))
}
