package power

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// Shell prints a command line for a POSIX shell, one option with its value per line.
func Shell(argv []string) string {
	var b strings.Builder
	for i, arg := range argv {
		switch {
		case i == 0:
		case strings.HasPrefix(arg, "-"):
			b.WriteString(" \\\n  ")
		default:
			b.WriteByte(' ')
		}
		b.WriteString(quote(arg))
	}
	b.WriteByte('\n')
	return b.String()
}

// quote leaves plain words alone and puts all else into single quotes.
func quote(arg string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=+,./:@%", r)
	}
	if arg != "" && strings.IndexFunc(arg, func(r rune) bool { return !plain(r) }) < 0 {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// libvirtNamespace is what libvirt takes QEMU's own arguments in (libvirt docs/drvqemu).
const libvirtNamespace = "http://libvirt.org/schemas/domain/qemu/1.0"

// Libvirt prints what to paste into a libvirt domain of one's own so that QEMU dials the node.
// Libvirt has the monitor and the agent's channel itself, so only the IPMI device is there.
func Libvirt(s Spec) (string, error) {
	s = s.withDefaults()
	pairs, err := bmcArgs(s)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- inside <domain>; where AppArmor confines QEMU, add this line to\n"+
		"     /etc/apparmor.d/local/abstractions/libvirt-qemu:  %s rw, -->\n", comment(s.VMSocket.Path))
	fmt.Fprintf(&b, "<qemu:commandline xmlns:qemu=%q>\n", libvirtNamespace)
	for _, arg := range flatten("", pairs)[1:] {
		b.WriteString("  <qemu:arg value=\"")
		if err := xml.EscapeText(&b, []byte(arg)); err != nil {
			return "", fmt.Errorf("libvirt XML: %w", err)
		}
		b.WriteString("\"/>\n")
	}
	b.WriteString("</qemu:commandline>\n")
	return b.String(), nil
}

// comment quotes a path for AppArmor. XML comments cannot hold "--", so there a dash becomes AppArmor's
// pattern for any one character.
func comment(path string) string {
	return `"` + strings.ReplaceAll(path, "--", "-?") + `"`
}
