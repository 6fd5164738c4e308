package ipmb

// GuestPolicy says what software in a guest may ask of controllers other than
// its own. It denies by default: reads, events and messages to other guests'
// software pass; power, activation, thresholds, users and logs of others do
// not. It is checked on the innermost command, by the sending node, by the
// switch and by the target, so that no single one of them must be trusted.
type GuestPolicy struct {
	allowed map[CommandID]bool
}

// DefaultGuestPolicy permits what guestCommands lists.
var DefaultGuestPolicy = NewGuestPolicy(guestCommands)

// NewGuestPolicy permits exactly the commands listed.
func NewGuestPolicy(list []CommandID) *GuestPolicy {
	p := &GuestPolicy{allowed: make(map[CommandID]bool, len(list))}
	for _, c := range list {
		p.allowed[c] = true
	}
	return p
}

// Permit checks a frame that guest software made. Nil lets it pass; otherwise
// the error is the completion code to answer: D4h for what is refused, CCh for
// a nesting that cannot be read.
func (p *GuestPolicy) Permit(f Frame) error {
	in, err := innermost(f, func(Frame) {})
	if err != nil {
		return err
	}
	if in.IsResponse() || in.ToLUN == LUNSMS {
		return nil
	}
	body, _, _ := SplitBody(in.NetFn, in.Data)
	if !p.allowed[CommandID{in.NetFn, body, in.Cmd}] {
		return ErrPrivilege
	}
	return nil
}

// guestCommands are reads, and the two ways to report an event: Platform Event
// and Add SEL Entry, by which Linux stores panic strings at its event receiver.
var guestCommands = []CommandID{
	{NetFnApp, 0, 0x01},
	{NetFnApp, 0, 0x04},
	{NetFnApp, 0, 0x07},
	{NetFnApp, 0, 0x08}, // Device ID, self test, ACPI state, device GUID
	{NetFnApp, 0, 0x09},
	{NetFnApp, 0, 0x0A},
	{NetFnApp, 0, 0x0B}, // command discovery
	{NetFnApp, 0, 0x25},
	{NetFnApp, 0, 0x2F}, // watchdog, enables: get
	{NetFnApp, 0, 0x37},
	{NetFnApp, 0, 0x41},
	{NetFnApp, 0, 0x42},
	{NetFnApp, 0, 0x59}, // system GUID, channel access, channel info, system info
	{NetFnChassis, 0, 0x00},
	{NetFnChassis, 0, 0x01},
	{NetFnChassis, 0, 0x07},
	{NetFnChassis, 0, 0x0F}, // capabilities, status, restart cause, hours
	{NetFnSensor, 0, 0x01},
	{NetFnSensor, 0, 0x02}, // event receiver, Platform Event
	{NetFnSensor, 0, 0x20},
	{NetFnSensor, 0, 0x21},
	{NetFnSensor, 0, 0x22}, // device SDRs
	{NetFnSensor, 0, 0x23},
	{NetFnSensor, 0, 0x25},
	{NetFnSensor, 0, 0x27},
	{NetFnSensor, 0, 0x29},
	{NetFnSensor, 0, 0x2B},
	{NetFnSensor, 0, 0x2D},
	{NetFnSensor, 0, 0x2F}, // sensor reads
	{NetFnStorage, 0, 0x10},
	{NetFnStorage, 0, 0x11}, // FRU info, read
	{NetFnStorage, 0, 0x20},
	{NetFnStorage, 0, 0x21},
	{NetFnStorage, 0, 0x22},
	{NetFnStorage, 0, 0x23},
	{NetFnStorage, 0, 0x28}, // SDR repository
	{NetFnStorage, 0, 0x40},
	{NetFnStorage, 0, 0x41},
	{NetFnStorage, 0, 0x42},
	{NetFnStorage, 0, 0x43}, // SEL reads
	{NetFnStorage, 0, 0x44},
	{NetFnStorage, 0, 0x48},
	{NetFnStorage, 0, 0x5A},
	{NetFnStorage, 0, 0x5C}, // Add SEL Entry, SEL time, auxiliary log, UTC offset
	{NetFnGroup, BodyPICMG, 0x00},
	{NetFnGroup, BodyPICMG, 0x01},
	{NetFnGroup, BodyPICMG, 0x02}, // properties, addresses
	{NetFnGroup, BodyPICMG, 0x05},
	{NetFnGroup, BodyPICMG, 0x06},
	{NetFnGroup, BodyPICMG, 0x08}, // LEDs: get
	{NetFnGroup, BodyPICMG, 0x0B},
	{NetFnGroup, BodyPICMG, 0x0D},
	{NetFnGroup, BodyPICMG, 0x0F}, // policy, locator, port state: get
	{NetFnGroup, BodyPICMG, 0x10},
	{NetFnGroup, BodyPICMG, 0x12},
	{NetFnGroup, BodyPICMG, 0x14},
	{NetFnGroup, BodyPICMG, 0x16},
	{NetFnGroup, BodyPICMG, 0x18},
	{NetFnGroup, BodyPICMG, 0x1A},
	{NetFnGroup, BodyPICMG, 0x1B},
	{NetFnGroup, BodyPICMG, 0x1D},
	{NetFnGroup, BodyPICMG, 0x1E},
	{NetFnGroup, BodyPICMG, 0x21},
	{NetFnGroup, BodyPICMG, 0x22},
}
