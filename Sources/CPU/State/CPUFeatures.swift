/// What a processor model can do: instruction sets and modes, one bit each, with the CPUID bit that shows it.
///
/// Source: SDM Vol. 2A, CPUID; AMD *CPUID Specification* (extended leaves); the levels v1–v3 are those of the *System V ABI, AMD64
/// Architecture Processor Supplement*, section "Micro-architecture levels".
public struct CPUFeatures: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    private static func bit(_ number: UInt64) -> CPUFeatures { CPUFeatures(rawValue: 1 << number) }

    // Leaf 1 EDX
    public static let fpu = bit(0), vme = bit(1), de = bit(2), pse = bit(3), tsc = bit(4), msr = bit(5), pae = bit(6), mce = bit(7)
    public static let cx8 = bit(8), apic = bit(9), sep = bit(10), mtrr = bit(11), pge = bit(12), mca = bit(13), cmov = bit(14), pat = bit(15)
    public static let pse36 = bit(16), clfsh = bit(17), mmx = bit(18), fxsr = bit(19), sse = bit(20), sse2 = bit(21)
    // Leaf 1 ECX
    public static let sse3 = bit(22), pclmulqdq = bit(23), ssse3 = bit(24), fma = bit(25), cx16 = bit(26), sse41 = bit(27), sse42 = bit(28)
    public static let movbe = bit(29), popcnt = bit(30), aes = bit(31), xsave = bit(32), avx = bit(33), f16c = bit(34), rdrand = bit(35)
    // Leaf 7 EBX
    public static let bmi1 = bit(36), avx2 = bit(37), bmi2 = bit(38)
    // Leaf 0x80000001 EDX
    public static let syscall = bit(42), nx = bit(43), gbpages = bit(44), rdtscp = bit(45), lm = bit(46)
    // Leaf 0x80000001 ECX
    public static let lahf64 = bit(47), lzcnt = bit(48), prefetchw = bit(49)
    /// Long NOP (0F 1F): in every processor since the Pentium Pro; has no CPUID bit.
    public static let nopl = bit(50)
    // Leaf 7 EDX
    public static let archCapabilities = bit(51)

    /// Where CPUID shows each feature.
    enum Register: Int { case edx1, ecx1, ebx7, edx7, edxExtended, ecxExtended }
    private static let places: [(CPUFeatures, Register, Int)] = [
        (.fpu, .edx1, 0), (.vme, .edx1, 1), (.de, .edx1, 2), (.pse, .edx1, 3), (.tsc, .edx1, 4), (.msr, .edx1, 5), (.pae, .edx1, 6),
        (.mce, .edx1, 7), (.cx8, .edx1, 8), (.apic, .edx1, 9), (.sep, .edx1, 11), (.mtrr, .edx1, 12), (.pge, .edx1, 13), (.mca, .edx1, 14),
        (.cmov, .edx1, 15), (.pat, .edx1, 16), (.pse36, .edx1, 17), (.clfsh, .edx1, 19), (.mmx, .edx1, 23), (.fxsr, .edx1, 24),
        (.sse, .edx1, 25), (.sse2, .edx1, 26),
        (.sse3, .ecx1, 0), (.pclmulqdq, .ecx1, 1), (.ssse3, .ecx1, 9), (.fma, .ecx1, 12), (.cx16, .ecx1, 13), (.sse41, .ecx1, 19),
        (.sse42, .ecx1, 20), (.movbe, .ecx1, 22), (.popcnt, .ecx1, 23), (.aes, .ecx1, 25), (.xsave, .ecx1, 26), (.avx, .ecx1, 28),
        (.f16c, .ecx1, 29), (.rdrand, .ecx1, 30),
        (.bmi1, .ebx7, 3), (.avx2, .ebx7, 5), (.bmi2, .ebx7, 8), (.archCapabilities, .edx7, 29),
        (.syscall, .edxExtended, 11), (.nx, .edxExtended, 20), (.gbpages, .edxExtended, 26), (.rdtscp, .edxExtended, 27), (.lm, .edxExtended, 29),
        (.lahf64, .ecxExtended, 0), (.lzcnt, .ecxExtended, 5), (.prefetchw, .ecxExtended, 8),
    ]

    /// The bits of one CPUID register that these features set.
    func word(_ register: Register) -> UInt32 {
        var word: UInt32 = 0
        for (feature, place, bit) in CPUFeatures.places where place == register && contains(feature) { word |= 1 << UInt32(bit) }
        return word
    }

    /// The features that these CPUID words show.
    static func features(edx1: UInt32, ecx1: UInt32, ebx7: UInt32) -> CPUFeatures {
        var found: CPUFeatures = []
        for (feature, place, bit) in places {
            let word: UInt32 =
                switch place {
                case .edx1: edx1
                case .ecx1: ecx1
                case .ebx7: ebx7
                default: 0
                }
            if word & 1 << UInt32(bit) != 0 { found.insert(feature) }
        }
        return found
    }

    static let i486: CPUFeatures = [.fpu]
    static let pentium: CPUFeatures = [.fpu, .de, .pse, .tsc, .msr, .cx8, .apic]
    static let p6: CPUFeatures = [.fpu, .de, .pse, .tsc, .msr, .pae, .cx8, .apic, .sep, .mtrr, .pge, .cmov, .pat, .mmx, .nopl]
    static let pentium3: CPUFeatures = p6.union([.fxsr, .sse, .pse36])
    static let level1: CPUFeatures = pentium3.union([.sse2, .mce, .mca, .clfsh, .syscall, .nx, .lm, .rdtscp, .prefetchw, .archCapabilities])
    static let level2: CPUFeatures = level1.union([.sse3, .ssse3, .sse41, .sse42, .popcnt, .cx16, .lahf64])
    static let level3: CPUFeatures = level2.union([
        .gbpages, .pclmulqdq, .aes, .xsave, .avx, .f16c, .rdrand, .fma, .movbe, .bmi1, .avx2, .bmi2, .lzcnt,
    ])
}
