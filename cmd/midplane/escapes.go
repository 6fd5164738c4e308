package main

import (
	"fmt"
	"io"
)

// escapes looks for ~. and its kin at the start of lines, as ssh does.
type escapes struct {
	out   io.Writer // for the help
	on    bool      // off: everything is passed
	start bool      // of a line
	tilde bool      // one was typed there
	broke bool      // a break is to be sent
}

const escapeHelp = "\r\n" +
	"~.  leave\r\n" +
	"~B  send a break\r\n" +
	"~?  this help\r\n" +
	"~~  one ~\r\n"

// filter gives what of the keys goes to the guest; left says that the person
// wishes to leave.
func (e *escapes) filter(keys []byte) (pass []byte, left bool) {
	if !e.on {
		return keys, false
	}
	for _, k := range keys {
		if e.tilde {
			e.tilde = false
			switch k {
			case '.':
				return pass, true
			case 'B':
				e.broke = true
				continue
			case '?':
				fmt.Fprint(e.out, escapeHelp)
				continue
			case '~':
			default:
				pass = append(pass, '~')
			}
		} else if e.start && k == '~' {
			e.tilde = true
			continue
		}
		pass = append(pass, k)
		e.start = k == '\r' || k == '\n'
	}
	return pass, false
}
