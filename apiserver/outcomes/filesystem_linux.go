package outcomes

import (
	"errors"
	"fmt"
	"syscall"
)

// networkFileSystems are identified by the magic number of statfs(2). The write-ahead log needs shared memory and reliable
// locks between all processes that have the file open, which do not work across machines. FUSE is included because its
// backend is unknown and usually a network.
var networkFileSystems = map[uint32]string{
	0x6969:     "NFS",
	0x517b:     "SMB",
	0xfe534d42: "SMB",
	0xff534d42: "CIFS",
	0x00c36400: "Ceph",
	0x01021997: "9P",
	0x5346414f: "AFS",
	0x6b414653: "AFS",
	0x73757245: "Coda",
	0x564c:     "NCP",
	0x0bd00bd0: "Lustre",
	0x47504653: "GPFS",
	0x20030528: "OrangeFS",
	0x7461636f: "OCFS2",
	0x01161970: "GFS2",
	0x19830326: "BeeGFS",
	0x65735546: "FUSE",
}

func refuseNetworkFileSystem(folder string) error {
	var stat syscall.Statfs_t
	for {
		err := syscall.Statfs(folder, &stat)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("determining the file system of %s: %w", folder, err)
		}
		return refuse(folder, uint32(stat.Type))
	}
}

func refuse(folder string, magic uint32) error {
	if name, ok := networkFileSystems[magic]; ok {
		return fmt.Errorf("the folder of the outcome store, %s, is on a file system of type %s, on which SQLite can lose data: use a volume on a local disk or block storage", folder, name)
	}
	return nil
}
