package mc

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// Operation support of a repository that can be written, beside sdrSupports.
const (
	sdrOverflow = 0x80
	sdrModal    = 0x40
	sdrDelete   = 0x08
	sdrPartial  = 0x04
)

// Clear SDR Repository, as Clear SEL.
const (
	sdrEraseStatus = 0x00
	sdrEraseStart  = 0xAA
	sdrEraseDone   = 0x01
)

// Commands gives the rows of the repository. While one requester updates it in
// update mode, others are told how it is and what its time is, and no more.
func (r *SDRRepository) Commands() []ipmb.Command {
	const user, operator = ipmb.PrivilegeUser, ipmb.PrivilegeOperator
	rows := append(sdrDevice{r.look}.commands(), []ipmb.Command{
		{Name: "Add SDR", Cmd: 0x24, Privilege: operator, Data: ipmb.AtLeast(sdr.HeaderLen), Effect: true, Ref: "IPMI 2.0 §33.13", Do: r.addSDR},
		{Name: "Partial Add SDR", Cmd: 0x25, Privilege: operator, Data: ipmb.AtLeast(partialLen + 1), Effect: true, Ref: "IPMI 2.0 §33.14", Do: r.addPart},
		{Name: "Delete SDR", Cmd: 0x26, Privilege: operator, Data: ipmb.Exactly(4), Effect: true, Ref: "IPMI 2.0 §33.15", Do: r.deleteSDR},
		{Name: "Clear SDR Repository", Cmd: 0x27, Privilege: operator, Data: ipmb.Exactly(6), Effect: true, Ref: "IPMI 2.0 §33.16", Do: r.clearSDRs},
		{Name: "Get SDR Repository Time", Cmd: 0x28, Privilege: user, Ref: "IPMI 2.0 §33.17", Do: r.getTime},
		{Name: "Set SDR Repository Time", Cmd: 0x29, Privilege: operator, Data: ipmb.Exactly(4), Effect: true, Ref: "IPMI 2.0 §33.18", Do: r.putTime},
		{Name: "Enter SDR Repository Update Mode", Cmd: 0x2A, Privilege: operator, Effect: true, Ref: "IPMI 2.0 §33.19", Do: r.mode.enter},
		{Name: "Exit SDR Repository Update Mode", Cmd: 0x2B, Privilege: operator, Effect: true, Ref: "IPMI 2.0 §33.20", Do: r.mode.exit},
		{Name: "Run Initialization Agent", Cmd: 0x2C, Privilege: operator, Data: ipmb.Exactly(1), Effect: true, Ref: "IPMI 2.0 §33.21", Do: r.runAgent},
	}...)
	for i := range rows {
		rows[i].NetFn = ipmb.NetFnStorage
		switch rows[i].Cmd {
		case 0x20, 0x21, 0x28, 0x2A, 0x2B: // how it is, its time, the mode itself
		default:
			rows[i].Do = r.mode.guard(rows[i].Do)
		}
	}
	return rows
}

// checkSDR tells whether a record is one that clients can read.
func checkSDR(b []byte) error {
	if len(b) > sdrMaxLen {
		return ipmb.ErrTooLong
	}
	if h, err := sdr.ParseHeader(b); err != nil || len(b) != sdr.HeaderLen+int(h.Length) {
		return ipmb.ErrLength
	}
	if h, _, err := sdr.Parse(b); err != nil || h.Version != sdr.Version {
		return ipmb.ErrInvalidField
	}
	return nil
}

func (r *SDRRepository) addSDR(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	if err := checkSDR(req.Data); err != nil {
		return nil, err
	}
	return r.put(ctx, req.Data)
}

func (r *SDRRepository) put(ctx context.Context, record SDRRecord) ([]byte, error) {
	id, err := r.add(ctx, record)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint16(nil, id), nil
}

func (r *SDRRepository) addPart(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	v, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	id, record, err := r.partial.take(req.Data, v.reservation)
	switch {
	case err != nil:
		return nil, err
	case record == nil:
		return binary.LittleEndian.AppendUint16(nil, id), nil
	}
	if err := checkSDR(record); err == ipmb.ErrLength {
		return nil, errPartialLength
	} else if err != nil {
		return nil, err
	}
	return r.put(ctx, record)
}

func (r *SDRRepository) deleteSDR(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	id, err := r.remove(ctx, binary.LittleEndian.Uint16(req.Data), binary.LittleEndian.Uint16(req.Data[2:]))
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint16(nil, id), nil
}

func (r *SDRRepository) clearSDRs(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	action := req.Data[5]
	if string(req.Data[2:5]) != "CLR" || action != sdrEraseStart && action != sdrEraseStatus {
		return nil, ipmb.ErrInvalidField
	}
	if action == sdrEraseStart { // an erase is done when it is answered
		if err := r.clear(ctx, binary.LittleEndian.Uint16(req.Data)); err != nil {
			return nil, err
		}
	}
	return []byte{sdrEraseDone}, nil
}

func (r *SDRRepository) getTime(context.Context, *ipmb.Request) ([]byte, error) {
	return binary.LittleEndian.AppendUint32(nil, timestamp(r.time())), nil
}

func (r *SDRRepository) putTime(_ context.Context, req *ipmb.Request) ([]byte, error) {
	s := binary.LittleEndian.Uint32(req.Data)
	if s == selTimeUnknown {
		return nil, ipmb.ErrInvalidField
	}
	return nil, r.setTime(time.Unix(int64(s), 0))
}
