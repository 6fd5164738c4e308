package uplink

import v1 "github.com/midplane-project/midplane/proto/midplane/v1"

// Blow tells the shelf what this node, a fan tray, moves, in per cent.
func (u *Uplink) Blow(percent uint8) {
	u.blows.Store(uint32(percent) + 1)
	for _, w := range u.view.Load().live {
		u.blow(w)
	}
}

// blow tells one replica. One that came up meanwhile may be told twice.
func (u *Uplink) blow(w *way) {
	if n := u.blows.Load(); n != 0 {
		w.link.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Airflow{Airflow: &v1.Airflow{Percent: n - 1}}})
	}
}

// breathe takes what the replicas say of the fan trays. A tray that is lost from
// sight, but not gone, blows as it did.
func (v *view) breathe(fresh [slots]uint32) {
	for hw, n := range fresh {
		if n != 0 || v.state[hw] == v1.PresenceState_PRESENCE_STATE_ABSENT {
			v.air[hw] = n
		}
	}
}

// Airflow is the mean level of the shelf's fan trays, 0 to 1; ok is false while
// none is known.
func (u *Uplink) Airflow() (level float64, ok bool) {
	sum, trays := uint32(0), 0
	for _, n := range u.view.Load().air {
		if n != 0 {
			sum += n - 1
			trays++
		}
	}
	if trays == 0 {
		return 0, false
	}
	return float64(sum) / float64(trays) / 100, true
}
