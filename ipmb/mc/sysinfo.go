package mc

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
)

// System info parameters (IPMI 2.0 §22.14a): strings.
const (
	InfoFirmware      = 1 // of the system
	InfoSystemName    = 2
	InfoPrimaryOS     = 3 // that it is for
	InfoOS            = 4 // that runs
	InfoOSVersion     = 5 // of the one that runs
	InfoControllerURL = 6
	InfoHypervisorURL = 7
)

// A string comes in blocks. Each begins with its number; the first has then
// the encoding and the length of the whole string.
const (
	infoBlocks     = 16
	infoBlockLen   = 1 + 16
	infoFirstHead  = 3
	infoLastCode   = 2 // ASCII and Latin-1, UTF-8, UTF-16
	infoMaxString  = infoBlockLen - infoFirstHead + (infoBlocks-1)*(infoBlockLen-1)
	infoCodeMask   = 0x0F
	infoNameInside = infoBlockLen - infoFirstHead
)

// SystemInfo is what software on the system tells about it.
type SystemInfo struct{ *Parameters }

// OpenSystemInfo reads what was told. Until somebody names the system it has
// the name given, cut to its first block.
func OpenSystemInfo(r Records, name string) (*SystemInfo, error) {
	var table []Parameter
	for number := uint8(InfoFirmware); number <= InfoHypervisorURL; number++ {
		p := Parameter{
			Number: number, Sets: infoBlocks, Data: ipmb.Between(2, infoBlockLen), Default: make([]byte, infoBlockLen),
			Check: infoBlock, Complete: infoWhole, Transient: number == InfoOS || number == InfoOSVersion,
		}
		table = append(table, p)
	}
	p, err := OpenParameters(r, "sysinfo", table)
	if err != nil {
		return nil, err
	}
	name = name[:min(len(name), infoNameInside)]
	first := append([]byte{0, 0, byte(len(name))}, name...)
	p.presets[paramKey{number: InfoSystemName}] = infoWhole(first)
	return &SystemInfo{p}, nil
}

// infoBlock checks a block of a string.
func infoBlock(v []byte) error {
	if v[0] > 0 {
		return nil
	}
	if len(v) < infoFirstHead {
		return ipmb.ErrLength
	}
	return valid(v[1]&infoCodeMask <= infoLastCode && v[1]&^infoCodeMask == 0 && int(v[2]) <= infoMaxString)
}

// infoWhole fills a block up to its length.
func infoWhole(v []byte) []byte { return append(v, make([]byte, infoBlockLen-len(v))...) }

// Commands gives Set and Get System Info Parameters.
func (s *SystemInfo) Commands() []ipmb.Command {
	return []ipmb.Command{
		{
			Name: "Set System Info Parameters", NetFn: ipmb.NetFnApp, Cmd: 0x58, Privilege: ipmb.PrivilegeAdmin,
			Data: ipmb.AtLeast(2), Effect: true, Ref: "IPMI 2.0 §22.14a",
			Do: func(_ context.Context, req *ipmb.Request) ([]byte, error) {
				return nil, s.write(req.Data[0], req.Data[1:])
			},
		},
		{
			Name: "Get System Info Parameters", NetFn: ipmb.NetFnApp, Cmd: 0x59, Privilege: ipmb.PrivilegeUser,
			Data: ipmb.Exactly(4), Ref: "IPMI 2.0 §22.14b",
			Do: func(_ context.Context, req *ipmb.Request) ([]byte, error) { return s.read(req.Data) },
		},
	}
}
