package main

import "regexp"

// masked stands where a secret was.
const masked = "(masked)"

// secrets are what scrub takes out: the first group stays.
var secrets = []*regexp.Regexp{
	regexp.MustCompile(`(?s)()-----BEGIN [^-\n]*-----.*?(?:-----END [^-\n]*-----|\z)`),
	// -object secret,id=x,data=VALUE
	regexp.MustCompile(`(?i)(\bsecret,[^\s"']*?\bdata=)[^\s,"']+`),
	// password=VALUE, "password": "VALUE", --token VALUE, also as two strings of a list
	regexp.MustCompile(`(?i)([a-z0-9_-]*(?:password|passwd|passphrase|secret|token|api[_-]?key)[a-z0-9_-]*(?:["']?\s*[:=]\s*|["']\s*,\s*|[ \t]+)["']?)[^\s"',]+`),
	// scheme://user:VALUE@host
	regexp.MustCompile(`(://[^/\s:@]+:)[^/\s@]+`),
}

// scrub takes keys and passwords out of text that somebody else will read. It
// rather takes too much.
func scrub(text []byte) []byte {
	for _, s := range secrets {
		text = s.ReplaceAll(text, []byte("${1}"+masked))
	}
	return text
}
