package sdr

// Thresholds are raw readings in the record's order.
type Thresholds struct {
	UpperNonRecoverable, UpperCritical, UpperNonCritical uint8
	LowerNonRecoverable, LowerCritical, LowerNonCritical uint8
}

// Full is a full sensor record, type 01h.
type Full struct {
	Sensor
	Factors    Factors
	Specified  uint8 // bit 0 nominal, 1 normal maximum, 2 normal minimum
	Nominal    uint8
	NormalMax  uint8
	NormalMin  uint8
	Max        uint8 // of the sensor
	Min        uint8
	Thresholds Thresholds
	HystUp     uint8 // positive-going hysteresis
	HystDown   uint8
	OEM        uint8
	Name       string
}

const (
	fullAnalogOffset = sensorLen + factorsLen
	fullLen          = 43 // from the owner to the type/length byte
)

// Type is TypeFull.
func (*Full) Type() Type { return TypeFull }

func (f *Full) append(b []byte) ([]byte, error) {
	t := f.Thresholds
	b = f.Factors.append(f.Sensor.append(b))
	b = append(b, f.Specified, f.Nominal, f.NormalMax, f.NormalMin, f.Max, f.Min,
		t.UpperNonRecoverable, t.UpperCritical, t.UpperNonCritical,
		t.LowerNonRecoverable, t.LowerCritical, t.LowerNonCritical,
		f.HystUp, f.HystDown, 0, 0, f.OEM)
	return appendID(b, f.Name)
}

func parseFull(b []byte) (Body, error) {
	if len(b) < fullLen {
		return nil, ErrShort
	}
	name, err := parseID(b[fullLen-1:])
	if err != nil {
		return nil, err
	}
	a := b[fullAnalogOffset:]
	return &Full{
		Sensor: parseSensor(b), Factors: parseFactors(b[sensorLen:]),
		Specified: a[0], Nominal: a[1], NormalMax: a[2], NormalMin: a[3], Max: a[4], Min: a[5],
		Thresholds: Thresholds{
			UpperNonRecoverable: a[6], UpperCritical: a[7], UpperNonCritical: a[8],
			LowerNonRecoverable: a[9], LowerCritical: a[10], LowerNonCritical: a[11],
		},
		HystUp: a[12], HystDown: a[13], OEM: a[16], Name: name,
	}, nil
}
