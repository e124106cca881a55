// Package login has the stories of real programs that open and close one session: su,
// sshd, cron, and hosts of our own.
package login

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
