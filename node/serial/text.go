package serial

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/midplane-project/midplane/ipmb"
)

// Text commands of terminal mode (IPMI 2.0 §14.7), by their words after SYS.
// All but PWD and TMODE are other words for IPMI commands, and need their
// privileges.
var texts = []struct {
	words []string
	do    func(l *line, ctx context.Context, args []string) (string, error)
}{
	{[]string{"PWD"}, (*line).textPassword},
	{[]string{"TMODE"}, (*line).textMode},
	{[]string{"SET", "BOOT"}, (*line).textSetBoot},
	{[]string{"SET", "BOOTOPT"}, (*line).textSetBootOption},
	{[]string{"GET", "BOOTOPT"}, (*line).textGetBootOption},
	{[]string{"SET", "TCFG"}, (*line).textConfigure},
	{[]string{"HEALTH", "QUERY"}, (*line).textHealth},
	{[]string{"POWER", "ON"}, textControl(chassisUp)},
	{[]string{"POWER", "OFF"}, textControl(chassisDown)},
	{[]string{"RESET"}, textControl(chassisReset)},
	{[]string{"IDENTIFY"}, (*line).textIdentify},
	{[]string{"GUID"}, (*line).textGUID},
}

// Commands behind the words (IPMI 2.0 §28.2, §28.3, §28.5, §28.12, §22.14).
const (
	cmdChassisStatus   ipmb.Cmd = 0x01
	cmdChassisControl  ipmb.Cmd = 0x02
	cmdChassisIdentify ipmb.Cmd = 0x04
	cmdSetBootOptions  ipmb.Cmd = 0x08
	cmdGetBootOptions  ipmb.Cmd = 0x09
	cmdSystemGUID      ipmb.Cmd = 0x37

	chassisDown  = 0
	chassisUp    = 1
	chassisReset = 3

	bootAcknowledge = 4
	bootFlags       = 5
	bootFlagsLen    = 5
	bootSelectorLen = 3 // parameter, set, block
	bootValid       = 0x80
	bootEverybody   = 0x1F // BIOS, OS loader, OS, SMS, OEM
)

// text does a text command and gives the text of its answer.
func (l *line) text(ctx context.Context, text string) (string, error) {
	words := strings.Fields(text)[1:]
	for _, t := range texts {
		if len(words) < len(t.words) || !slices.EqualFunc(t.words, words[:len(t.words)], strings.EqualFold) {
			continue
		}
		return t.do(l, ctx, words[len(t.words):])
	}
	return "", ipmb.ErrInvalidCommand
}

// command asks the controller in the name of who is on the line.
func (l *line) command(ctx context.Context, n ipmb.NetFn, c ipmb.Cmd, data ...byte) ([]byte, error) {
	r := l.door.cfg.Handler.ServeIPMI(ctx, &ipmb.Request{NetFn: n, Cmd: c, Data: data, Origin: l.origin()})
	return r.Data, r.Err()
}

// textPassword logs in: -U name password, -N password for the null user, and
// out: -X. A wrong one logs out, too.
func (l *line) textPassword(ctx context.Context, args []string) (string, error) {
	var name, password string
	switch {
	case len(args) == 1 && args[0] == "-X":
		l.door.logout()
		return "", nil
	case len(args) >= 2 && len(args) <= 3 && args[0] == "-U":
		name, password = args[1], strings.Join(args[2:], "")
	case len(args) >= 1 && len(args) <= 2 && args[0] == "-N":
		password = strings.Join(args[1:], "")
	default:
		return "", ipmb.ErrInvalidField
	}
	return "", l.password(ctx, name, password)
}

func (l *line) textMode(_ context.Context, args []string) (string, error) {
	return "TMODE", none(args)
}

// none refuses arguments.
func none(args []string) error {
	if len(args) > 0 {
		return ipmb.ErrInvalidField
	}
	return nil
}

// textSetBoot sets the boot flags, which are valid by that, and what their
// readers have acknowledged.
func (l *line) textSetBoot(ctx context.Context, args []string) (string, error) {
	flags, err := parseHex([]byte(strings.Join(args, " ")))
	if err != nil || len(flags) != bootFlagsLen {
		return "", ipmb.ErrInvalidField
	}
	flags[0] |= bootValid
	if _, err := l.command(ctx, ipmb.NetFnChassis, cmdSetBootOptions, bootAcknowledge, bootEverybody, bootEverybody); err != nil {
		return "", err
	}
	_, err = l.command(ctx, ipmb.NetFnChassis, cmdSetBootOptions, append([]byte{bootFlags}, flags...)...)
	return "", err
}

// textSetBootOption is Set System Boot Options with its data in hex.
func (l *line) textSetBootOption(ctx context.Context, args []string) (string, error) {
	data, err := parseHex([]byte(strings.Join(args, " ")))
	if err != nil || len(data) == 0 {
		return "", ipmb.ErrInvalidField
	}
	_, err = l.command(ctx, ipmb.NetFnChassis, cmdSetBootOptions, data...)
	return "", err
}

// textGetBootOption is Get System Boot Options, both ways in hex.
func (l *line) textGetBootOption(ctx context.Context, args []string) (string, error) {
	data, err := parseHex([]byte(strings.Join(args, " ")))
	if err != nil || len(data) != bootSelectorLen {
		return "", ipmb.ErrInvalidField
	}
	out, err := l.command(ctx, ipmb.NetFnChassis, cmdGetBootOptions, data...)
	return fmt.Sprintf("% X", out), err
}

func textControl(action byte) func(*line, context.Context, []string) (string, error) {
	return func(l *line, ctx context.Context, args []string) (string, error) {
		if err := none(args); err != nil {
			return "", err
		}
		_, err := l.command(ctx, ipmb.NetFnChassis, cmdChassisControl, action)
		return "", err
	}
}

// textIdentify is for the default time without more, -ON with seconds in hex
// for those, and -OFF.
func (l *line) textIdentify(ctx context.Context, args []string) (string, error) {
	var seconds []byte
	switch {
	case len(args) == 0 || len(args) == 1 && args[0] == "-ON":
	case len(args) == 1 && args[0] == "-OFF":
		seconds = []byte{0}
	case len(args) == 2 && args[0] == "-ON":
		n, err := parseHex([]byte(args[1]))
		if err != nil || len(n) != 1 {
			return "", ipmb.ErrInvalidField
		}
		seconds = n
	default:
		return "", ipmb.ErrInvalidField
	}
	_, err := l.command(ctx, ipmb.NetFnChassis, cmdChassisIdentify, seconds...)
	return "", err
}

func (l *line) textGUID(ctx context.Context, args []string) (string, error) {
	if err := none(args); err != nil {
		return "", err
	}
	guid, err := l.command(ctx, ipmb.NetFnApp, cmdSystemGUID)
	return fmt.Sprintf("%X", guid), err
}
