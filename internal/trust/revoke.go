package trust

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// Revoke ends certificates before their time: all that a subject such as
// "node/lab/2" ever had, or the one with a serial number in hexadecimal. It
// returns the newly revoked ones; to revoke again changes nothing. A serial
// that is not in the books is listed all the same: books can be lost.
func (a *Authority) Revoke(what string) ([]Issued, error) {
	unlock, err := lockDir(a.dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	b, err := a.readBooks()
	if err != nil {
		return nil, fmt.Errorf("revoke %s: %w", what, err)
	}
	hit, err := b.find(what)
	if err != nil {
		return nil, fmt.Errorf("revoke %s: %w", what, err)
	}
	var fresh []Issued
	for _, c := range hit {
		if !c.Revoked() {
			c.RevokedAt = time.Now().UTC().Truncate(time.Second)
			fresh = append(fresh, c)
		}
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	return fresh, writeJSON(filepath.Join(a.dir, revokedFile), append(b.revoked, fresh...))
}

func (b books) find(what string) ([]Issued, error) {
	bySubject := strings.Contains(what, "/")
	serial := normalSerial(what)
	var hit []Issued
	for _, c := range b.list() {
		if bySubject && c.Subject == what || !bySubject && c.Serial == serial {
			hit = append(hit, c)
		}
	}
	switch {
	case len(hit) > 0:
		return hit, nil
	case bySubject:
		return nil, fmt.Errorf("no such certificate: %w", fs.ErrNotExist)
	case serial == "" || strings.Trim(serial, "0123456789abcdef") != "":
		return nil, fmt.Errorf("want a subject such as node/lab/2 or a serial number in hexadecimal")
	}
	return []Issued{{Serial: serial}}, nil
}

// normalSerial accepts the ways in which tools print serials: 0x…, AB:CD:….
func normalSerial(s string) string {
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "0x")
	return strings.TrimLeft(strings.ReplaceAll(s, ":", ""), "0")
}

// readRevoked reads a revocation list into a set of serials.
func readRevoked(path string) (map[string]bool, error) {
	var list []Issued
	if err := readJSON(path, &list); err != nil {
		return nil, err
	}
	set := make(map[string]bool, len(list))
	for _, c := range list {
		set[c.Serial] = true
	}
	return set, nil
}
