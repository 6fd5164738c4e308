package decode

import (
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

type commandCode struct {
	netFn ipmb.NetFn
	cmd   ipmb.Cmd
	code  ipmb.CompletionCode
}

// commandCodes are the codes that mean something else for each command
// (ipmitool's and OpenIPMI's tables).
var commandCodes = map[commandCode]string{
	{ipmb.NetFnApp, 0x22, ipmb.ErrWatchdogUnstarted}:      "watchdog never started",
	{ipmb.NetFnApp, 0x33, ipmb.ErrEmpty}:                  "queue empty",
	{ipmb.NetFnApp, 0x34, 0x80}:                           "invalid session handle",
	{ipmb.NetFnApp, 0x34, ipmb.ErrLostArbitration}:        "lost arbitration",
	{ipmb.NetFnApp, 0x34, ipmb.ErrBus}:                    "bus error",
	{ipmb.NetFnApp, 0x34, ipmb.ErrNAK}:                    "nobody at that address (NAK)",
	{ipmb.NetFnApp, 0x35, ipmb.ErrEmpty}:                  "event buffer empty",
	{ipmb.NetFnApp, 0x47, 0x80}:                           "password does not match",
	{ipmb.NetFnApp, 0x47, 0x81}:                           "password has another size",
	{ipmb.NetFnStorage, 0x11, 0x81}:                       "FRU busy",
	{ipmb.NetFnStorage, 0x12, 0x80}:                       "write-protected",
	{ipmb.NetFnStorage, 0x44, ipmb.ErrSELUnsupported}:     "unsupported record type",
	{ipmb.NetFnStorage, 0x44, ipmb.ErrSELErasing}:         "erase in progress",
	{ipmb.NetFnStorage, 0x46, ipmb.ErrSELUnsupported}:     "unsupported record type",
	{ipmb.NetFnStorage, 0x46, ipmb.ErrSELErasing}:         "erase in progress",
	{ipmb.NetFnTransport, 0x02, ipmb.ErrParamUnsupported}: "parameter not supported",
	{ipmb.NetFnTransport, 0x22, ipmb.ErrParamUnsupported}: "parameter not supported",
	{ipmb.NetFnChassis, 0x09, ipmb.ErrParamUnsupported}:   "parameter not supported",
	{ipmb.NetFnApp, 0x59, ipmb.ErrParamUnsupported}:       "parameter not supported",
}

// codeText names a completion code as the answer to a command.
func codeText(n ipmb.NetFn, cmd ipmb.Cmd, c ipmb.CompletionCode) string {
	if c == ipmb.OK {
		return "ok"
	}
	s, ok := commandCodes[commandCode{n.Request(), cmd, c}]
	if !ok {
		s = c.String()
	}
	return fmt.Sprintf("0x%02x %s", uint8(c), s)
}
