package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseArgs(t *testing.T) {
	replace, keep, escape := NestedReplace, NestedKeep, NestedEscape
	root := UserList{{Name: "root"}}
	for _, tc := range []struct {
		line string
		want Args
		err  string
	}{
		{"", Args{}, ""},
		{"debug conf=/etc/x.conf", Args{Debug: true, Conf: "/etc/x.conf"}, ""},
		{"config_error=last-good", Args{LastGood: true}, ""},
		{"config_error=deny", Args{}, ""},
		{"ignore_config_error", Args{IgnoreConfigError: true, LastGood: true}, ""},
		{"rescue=root,@wheel,uid:5-6", Args{HasRescue: true,
			Rescue: UserList{{Name: "root"}, {Kind: GroupName, Name: "wheel"}, {Kind: UIDRange, Min: 5, Max: 6}}}, ""},
		{"unmnt_remnt", Args{Nested: &replace}, ""},
		{"nested=keep", Args{Nested: &keep}, ""},
		{"nested=replace unmnt_remnt", Args{Nested: &replace}, ""},
		{"nested=kep", Args{}, `nested: unknown value "kep", want one of replace, keep, escape, did you mean "keep"?`},
		{"nested", Args{}, `argument "nested" has no value`},
		{"nested=keep unmnt_remnt", Args{Nested: &keep}, `"nested=keep" contradicts "unmnt_remnt"`},
		{"unmnt_only nested=keep", Args{Nested: &escape}, `"unmnt_only" contradicts "nested=keep"`},
		{"nested=keep nested=keep", Args{Nested: &keep}, `argument "nested" is given twice`},
		{"unmnt_only unmnt_only", Args{Nested: &escape}, ""},
		{"require_selinux gen_hash ignore_instance_parent_mode unmount_on_close use_current_context mount_private",
			Args{RequireSELinux: true, GenHash: true, IgnoreInstanceParentMode: true, UnmountOnClose: true, UseCurrentContext: true, MountPrivate: true}, ""},
		{"use_default_context", Args{UseDefaultContext: true}, ""},

		{"debgu", Args{}, `unknown argument "debgu", did you mean "debug"?`},
		{"zebra=1", Args{}, `unknown argument "zebra=1"`},
		{"conf=x", Args{}, `conf: "x" is no absolute path of a file`},
		{"conf=", Args{}, `conf: "" is no absolute path of a file`},
		{"conf=/x/../y", Args{}, `conf: component ".." in "/x/../y", write the path without that`},
		{"conf", Args{}, `argument "conf" has no value`},
		{"conf=/a conf=/b", Args{Conf: "/b"}, `argument "conf" is given twice`},
		{"debug=1", Args{}, `argument "debug" takes no value, found "1"`},
		{"config_error=dney", Args{}, `config_error: unknown value "dney", want "deny" or "last-good", did you mean "deny"?`},
		{"config_error=deny ignore_config_error", Args{IgnoreConfigError: true, LastGood: true},
			`"config_error=deny" contradicts "ignore_config_error"`},
		{"unmnt_remnt unmnt_only", Args{Nested: &replace}, `"unmnt_remnt" contradicts "unmnt_only"`},
		{"use_current_context use_default_context", Args{UseCurrentContext: true, UseDefaultContext: true},
			`"use_current_context" contradicts "use_default_context"`},

		// What of rescue= is right is kept, whatever else is wrong.
		{"rescue=1001,root,@ debgu", Args{HasRescue: true, Rescue: root},
			`rescue: "1001" is a number, not a user name, write "uid:1001" for the user id; for the account of that name, uid: and its user id, which ` + "`getent passwd`" + ` shows; unknown argument "debgu", did you mean "debug"?`},
		{"rescue=", Args{HasRescue: true}, `rescue: empty user name`},

		{"require=/tmp,/dev/shm,$HOME/x", Args{HasRequire: true, Require: []Template{"/tmp", "/dev/shm", "$HOME/x"}}, ""},
		{"require=/tmp/,dev", Args{HasRequire: true, Require: []Template{"/tmp"}}, `require: "dev" is not absolute, did you mean "/dev"?`},
		{"require=", Args{HasRequire: true}, `require: empty path`},
		{"require", Args{}, `argument "require" has no value`},
		{"require=/tmp require=/x", Args{HasRequire: true, Require: []Template{"/tmp", "/x"}}, `argument "require" is given twice`},
	} {
		got, err := ParseArgs(strings.Fields(tc.line))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if (err != nil) != (tc.err != "") {
			t.Errorf("%q: error %v", tc.line, err)
		}
		if !reflect.DeepEqual(got, tc.want) || text != tc.err {
			t.Errorf("%q:\ngot  %+v, %s\nwant %+v, %s", tc.line, got, text, tc.want, tc.err)
		}
	}
}
