import CPU
import Primitives

/// What a board is built from.
public struct BoardSettings: Sendable {
    public static let maximumRAMMiB = 64 << 10
    public static let maximumCPUs = 8

    /// Where guest time comes from.
    public enum Clock: Sendable {
        /// Retired instructions, and skips while the vCPU halts: two runs are identical.
        case virtual
        /// The host: nanoseconds since power-on without paused time. Must not go back.
        case host(@Sendable () -> Nanoseconds)
    }

    public var ramMiB = 128
    /// Of the VGA: 1, 2, 4, 8 or 16.
    public var videoMemoryMiB = 16
    /// Without it there are neither tables nor the power management function.
    public var acpi = true
    /// Without it the firmware makes no MP table either.
    public var ioapic = true
    public var cpus = 1
    public var processor = CPUModel.pentiumPro
    /// nil: guest code is only interpreted.
    public var translation: TranslationSettings?
    /// 64, 128 or 256 KiB.
    public var bios: [UInt8]
    /// Option ROM of the VGA; empty: none.
    public var vgaBIOS: [UInt8]
    /// Letters a (floppy), c (disk), d (CD), n (network).
    public var bootOrder = "cda"
    /// UTC at power-on, seconds since 1970.
    public var rtcEpochSeconds: Int64 = 1_767_225_600
    public var clock = Clock.virtual
    public var debugConsolePorts: [Port] = []
    public var debugExitPort: Port?
    /// CMOS types of drives A and B: 0 none, 1 360K, 2 1.2M, 3 720K, 4 1.44M, 5 2.88M.
    public var floppyTypes: (UInt8, UInt8) = (4, 0)
    /// Further fw_cfg files by name.
    public var fwCfgFiles: [String: [UInt8]] = [:]
    /// Adds the boot ROM that hands control to the host side, first in the boot order: `PCStop.bootHook`.
    public var bootHook = false
    /// A guest reset stops the run with `PCStop.reset`; otherwise the board resets itself and goes on.
    public var rebootEndsRun = false
    /// A triple fault resets the board, as the chipset's shutdown cycle does; otherwise it stops the run.
    public var tripleFaultResets = false
    /// COM ports present, 0–4.
    public var serialPorts = 4
    public var virtio = Virtio()

    /// Virtio devices on the PCI bus.
    public struct Virtio: Equatable, Sendable {
        /// Disks, 0–8, with their media in `Bay.virtioDisks`.
        public var disks = 0
        public var console = false
        public var balloon = false
        public var entropy = Entropy.none

        /// Where the entropy device has its bytes from.
        public enum Entropy: Equatable, Sendable {
            /// There is no such device.
            case none
            case seed(UInt64)
            /// Through `PC.entropyInput`.
            case host
        }
        public init() {}
    }

    public init(bios: [UInt8], vgaBIOS: [UInt8] = []) {
        self.bios = bios
        self.vgaBIOS = vgaBIOS
    }

    /// - Throws: the first thing that cannot be built.
    func check() throws(BoardError) {
        guard (1...BoardSettings.maximumRAMMiB).contains(ramMiB) else { throw .memorySize(ramMiB) }
        guard (1...BoardSettings.maximumCPUs).contains(cpus) else { throw .processors(cpus) }
        guard VGA.memorySizesMiB.contains(videoMemoryMiB) else { throw .videoMemory(videoMemoryMiB) }
        guard [64 << 10, 128 << 10, 256 << 10].contains(bios.count) else { throw .biosSize(bios.count) }
        if !vgaBIOS.isEmpty {
            let fits = (512...(64 << 10)).contains(vgaBIOS.count)
            guard fits, vgaBIOS[0] == 0x55, vgaBIOS[1] == 0xAA else { throw .vgaBIOS(vgaBIOS.count) }
        }
        guard bootOrder.allSatisfy({ "acdn".contains($0) }), Set(bootOrder).count == bootOrder.count else { throw .bootOrder(bootOrder) }
        for type in [floppyTypes.0, floppyTypes.1] where type > 5 { throw .floppyType(type) }
        for name in fwCfgFiles.keys.sorted() where name.isEmpty || name.utf8.count > 55 { throw .fileName(name) }
    }
}
