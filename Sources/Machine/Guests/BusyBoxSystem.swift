import Foundation

/// A small Linux system in memory: BusyBox with shells on the first two screens and on COM1, power-off, and a few kernel modules.
enum BusyBoxSystem {
    /// - Parameters:
    ///   - busybox: a statically linked executable for i386.
    ///   - modules: contents of `.ko` files by name, in the order of loading.
    static func archive(busybox: [UInt8], modules: [(name: String, bytes: [UInt8])]) -> [UInt8] {
        var archive = CpioArchive()
        for folder in ["bin", "sbin", "dev", "proc", "sys", "tmp", "root", "mnt", "usr/bin", "usr/sbin", "lib/modules"] {
            archive.add(folder: folder)
        }
        archive.add(file: "bin/busybox", busybox, executable: true)
        archive.add(link: "bin/sh", to: "/bin/busybox")
        archive.add(link: "sbin/init", to: "/bin/busybox")
        archive.add(link: "init", to: "/sbin/init")
        archive.add(file: "etc/rc", Array(startScript.utf8), executable: true)
        archive.add(file: "etc/inittab", Array(inittab.utf8))
        archive.add(file: "etc/passwd", Array("root::0:0:root:/root:/bin/sh\n".utf8))
        archive.add(file: "etc/group", Array("root:x:0:\n".utf8))
        archive.add(file: "etc/acpi/PWRF/00000080", Array("#!/bin/sh\npoweroff\n".utf8), executable: true)
        for module in modules { archive.add(file: "lib/modules/\(module.name).ko", module.bytes) }
        archive.add(file: "lib/modules/order", Array(modules.map { $0.name + "\n" }.joined().utf8))
        return archive.finished()
    }

    /// Whether the file is an executable for i386 that needs no interpreter (no PT_INTERP segment).
    static func isStatic386(_ bytes: [UInt8]) -> Bool {
        let file = LittleEndian(bytes: bytes)
        guard file.u32(0) == 0x464C_457F, file.u8(4) == 1, file.u16(18) == 3, let table = file.u32(28), let size = file.u16(42),
            let count = file.u16(44), size >= 32, count > 0
        else { return false }
        return (0..<Int(count)).allSatisfy { file.u32(Int(table) + $0 * Int(size)).map { $0 != 3 } ?? false }
    }

    private static let startScript = """
        #!/bin/sh
        /bin/busybox mount -t proc proc /proc
        /bin/busybox mount -t sysfs sysfs /sys
        /bin/busybox mount -t devtmpfs devtmpfs /dev
        /bin/busybox --install -s
        hostname guest
        while read module; do insmod /lib/modules/$module.ko 2>/dev/null; done </lib/modules/order
        [ -e /dev/input ] && acpid -l /dev/null
        echo
        echo "Linux $(uname -r) on $(uname -m) with BusyBox; 'poweroff' ends it."

        """

    private static let inittab = """
        ::sysinit:/etc/rc
        tty1::respawn:-/bin/sh
        tty2::askfirst:-/bin/sh
        ttyS0::respawn:/sbin/getty -n -l /bin/sh 115200 ttyS0 vt100
        ::ctrlaltdel:/sbin/reboot
        ::shutdown:/bin/umount -a -r

        """
}
