package serial

import (
	"context"
	"fmt"
	"strings"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Set and Get Serial/Modem Configuration (IPMI 2.0 §25.1, §25.2).
const (
	cmdSetSerial ipmb.Cmd = 0x10
	cmdGetSerial ipmb.Cmd = 0x11

	modeLen = 2
)

// textConfigure tells the configuration of terminal mode that holds on this
// line (V) and the stored one (N). -V sets the one, until the line ends, and -N
// the other, which then holds here, too.
func (l *line) textConfigure(ctx context.Context, args []string) (string, error) {
	channel := l.door.cfg.Origin.Channel
	if len(args) > 0 {
		v, err := parseHex([]byte(strings.Join(args[1:], " ")))
		if err != nil || len(v) != modeLen {
			return "", ipmb.ErrInvalidField
		}
		switch args[0] {
		case "-V":
			err = l.setMode(v)
		case "-N":
			if _, err = l.command(ctx, ipmb.NetFnTransport, cmdSetSerial, channel, mc.SerialTerminalMode, v[0], v[1]); err == nil {
				l.mode = nil
			}
		default:
			err = ipmb.ErrInvalidField
		}
		if err != nil {
			return "", err
		}
	}
	d, err := l.command(ctx, ipmb.NetFnTransport, cmdGetSerial, channel, mc.SerialTerminalMode, 0, 0)
	if err != nil {
		return "", err
	}
	if len(d) != 1+modeLen { // behind the revision
		return "", ipmb.ErrUnspecified
	}
	stored := d[1:]
	now := stored
	if l.mode != nil {
		now = l.mode.AppendBinary(nil)
	}
	l.configure()
	return fmt.Sprintf("V:% X\nN:% X", now, stored), nil
}

// setMode changes the line's own configuration, which needs what is needed to
// ask for the stored one.
func (l *line) setMode(v []byte) error {
	m, err := mc.ParseTerminalMode(v)
	if err != nil {
		return err
	}
	if l.origin().Privilege < ipmb.PrivilegeOperator {
		return ipmb.ErrPrivilege
	}
	l.mode = &m
	return nil
}
