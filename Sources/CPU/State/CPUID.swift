import Primitives

/// What a guest may know about its processor: CPUID, the bits of CR4, the frequency of the time-stamp counter.
///
/// Source: SDM Vol. 2, CPUID; Intel application note 485, "Intel Processor Identification and the CPUID Instruction".
public struct CPUModel: Equatable, Sendable {
    public var name: String
    /// Twelve characters.
    public var vendor: String
    /// Leaf 1 EAX: stepping, model, family.
    public var signature: UInt32
    /// Leaf 1 EDX and ECX, see `Feature`.
    public var features: UInt32
    public var featuresECX: UInt32 = 0
    /// Leaf 0x80000001 EDX.
    public var extendedFeatures: UInt32 = 0
    public var maximumLeaf: UInt32
    /// Leaf 2: cache and TLB descriptors, EAX EBX ECX EDX.
    public var caches: [UInt32]
    /// Leaves 0x80000002–4, at most 47 characters.
    public var brand: String
    /// Ticks of the time-stamp counter per second of guest time.
    public var tscHertz: UInt64
    /// Width of physical addresses: reserved bits of MTRR masks.
    public var physicalBits: UInt64

    /// Leaf 1 EDX by the manual's names.
    public enum Feature {
        public static let fpu: UInt32 = 1 << 0, vme: UInt32 = 1 << 1, de: UInt32 = 1 << 2, pse: UInt32 = 1 << 3, tsc: UInt32 = 1 << 4
        public static let msr: UInt32 = 1 << 5, pae: UInt32 = 1 << 6, mce: UInt32 = 1 << 7, cx8: UInt32 = 1 << 8, apic: UInt32 = 1 << 9
        public static let sep: UInt32 = 1 << 11, mtrr: UInt32 = 1 << 12, pge: UInt32 = 1 << 13, mca: UInt32 = 1 << 14
        public static let cmov: UInt32 = 1 << 15, pat: UInt32 = 1 << 16, pse36: UInt32 = 1 << 17, mmx: UInt32 = 1 << 23
        public static let fxsr: UInt32 = 1 << 24, sse: UInt32 = 1 << 25, sse2: UInt32 = 1 << 26
    }

    /// The model of a machine that does not ask for another: a Pentium Pro with the additions of the Pentium II (MMX, SYSENTER, PAT).
    /// The signature is that of a Pentium II ("Deschutes"): the Pentium Pro's own tells kernels that SYSENTER is broken.
    /// FXSR is left off, as on the Pentium Pro; operating systems then use FNSAVE.
    public static let pentiumPro = CPUModel(
        name: "pentiumpro", vendor: "GenuineIntel", signature: 0x652,
        features: Feature.fpu | Feature.de | Feature.pse | Feature.tsc | Feature.msr | Feature.pae | Feature.cx8 | Feature.apic
            | Feature.sep | Feature.mtrr | Feature.pge | Feature.cmov | Feature.pat | Feature.mmx,
        maximumLeaf: 2,
        // 4 KiB and 4 MiB TLBs, 16 KiB + 16 KiB first-level and 512 KiB second-level caches.
        caches: [0x0302_0101, 0, 0, 0x0C04_0843],
        brand: "Vitrine P6 class processor", tscHertz: 1_000_000_000, physicalBits: 36)

    /// Models that can be asked for by name.
    public static let all: [CPUModel] = [.pentiumPro]
    /// Names that are understood but not built yet.
    public static let planned = ["486", "pentium", "pentium2", "pentium3", "pentium4", "core2"]

    public static func named(_ name: String) -> CPUModel? { all.first { $0.name == name } }

    /// Bits of CR4 that exist.
    public var cr4Mask: UInt32 {
        var mask = CR4.tsd
        if features & Feature.vme != 0 { mask |= CR4.vme | CR4.pvi }
        if features & Feature.de != 0 { mask |= CR4.de }
        if features & Feature.pse != 0 { mask |= CR4.pse }
        if features & Feature.pae != 0 { mask |= CR4.pae }
        if features & Feature.mce != 0 { mask |= CR4.mce }
        if features & Feature.pge != 0 { mask |= CR4.pge }
        if features & Feature.mmx != 0 { mask |= CR4.pce }
        if features & Feature.fxsr != 0 { mask |= CR4.osfxsr }
        if features & Feature.sse != 0 { mask |= CR4.osxmmexcpt }
        return mask
    }

    /// Bits of IA32_EFER that exist; 0: the register does not.
    public var eferMask: UInt64 {
        var mask: UInt64 = 0
        if extendedFeatures & (1 << 11) != 0 { mask |= EFER.sce }
        if extendedFeatures & (1 << 20) != 0 { mask |= EFER.nxe }
        if extendedFeatures & (1 << 29) != 0 { mask |= EFER.lme | EFER.lma }
        return mask
    }

    /// Guest time in ticks of the time-stamp counter.
    func ticks(_ time: Nanoseconds) -> UInt64 {
        if tscHertz == 1_000_000_000 { return time }
        let product = time.multipliedFullWidth(by: tscHertz)
        // Beyond 2^64 ticks the counter wraps; the remainder keeps the division in range.
        return UInt64(1_000_000_000).dividingFullWidth((product.high % 1_000_000_000, product.low)).quotient
    }

    /// EAX EBX ECX EDX of a leaf. Leaves beyond the maximum give the highest basic one, as Intel's processors do.
    func cpuid(_ leaf: UInt32, apicID: UInt32, apicEnabled: Bool) -> (UInt32, UInt32, UInt32, UInt32) {
        switch leaf {
        case 0:
            let v = CPUModel.words(vendor, 3)
            return (maximumLeaf, v[0], v[2], v[1])
        case 1:
            return (signature, apicID << 24, featuresECX, apicEnabled ? features : features & ~Feature.apic)
        case 0x8000_0000: return (0x8000_0004, 0, 0, 0)
        case 0x8000_0001: return (0, 0, 0, extendedFeatures)
        case 0x8000_0002...0x8000_0004:
            let w = CPUModel.words(brand, 12)
            let at = Int(leaf - 0x8000_0002) * 4
            return (w[at], w[at + 1], w[at + 2], w[at + 3])
        default:
            return maximumLeaf >= 2 && caches.count == 4 ? (caches[0], caches[1], caches[2], caches[3]) : (0, 0, 0, 0)
        }
    }

    /// Text as little-endian doublewords, padded with NUL.
    private static func words(_ text: String, _ count: Int) -> [UInt32] {
        var words = [UInt32](repeating: 0, count: count)
        for (n, byte) in text.utf8.prefix(count * 4).enumerated() { words[n / 4] |= UInt32(byte) << UInt32(n % 4 * 8) }
        return words
    }
}

/// CPUID.
func cpuid(_ c: Core, _ o: OpPointer) throws(Fault) {
    let processor = c.t.pointee.processor
    // The feature bit follows IA32_APIC_BASE.EN.
    let base = processor.bus.readMSR(0x1B)
    let r = processor.model.cpuid(c.eax, apicID: 0, apicEnabled: (base ?? 0) & 0x800 != 0)
    c.eax = r.0
    c.ebx = r.1
    c.ecx = r.2
    c.edx = r.3
}
