import DataFiles

/// How many colours the terminal shows.
public enum ColourTier: Int, CaseIterable, Sendable {
    case mono, eight, sixteen, indexed256, direct
}

/// A colour of a theme with what stands in for it on lesser terminals.
public struct Colour: Hashable, Sendable {
    /// 0xRRGGBB; nil for colours that only the terminal knows (its default, its palette).
    public var rgb: UInt32?
    /// Entry of the 256-colour table, of the 16 ANSI colours, of the 8.
    public var c256: Int?, c16: Int?, c8: Int?

    public init(rgb: UInt32?, c256: Int?, c16: Int?, c8: Int?) {
        self.rgb = rgb
        self.c256 = c256
        self.c16 = c16
        self.c8 = c8
    }

    /// Whatever the terminal uses by default.
    public static let terminalDefault = Colour(rgb: nil, c256: -1, c16: -1, c8: -1)

    /// An exact colour; the lesser ones are the nearest.
    public init(rgb: UInt32) {
        let ansi = Palette.nearestANSI(rgb)
        self.init(rgb: rgb, c256: Palette.nearest256(rgb), c16: ansi, c8: ansi & 7)
    }

    /// An entry of the terminal's own palette.
    public init(index: Int) {
        let rgb = Palette.rgb256(index)
        let ansi = index < 16 ? index : Palette.nearestANSI(rgb)
        self.init(rgb: index < 16 ? nil : rgb, c256: index, c16: ansi, c8: ansi & 7)
    }

    /// The colour number for a tier, -1 for the terminal's default. In the direct tier an RGB value of 8 and up
    /// (0–7 are palette entries in `*-direct` terminal descriptions).
    public func number(in tier: ColourTier) -> Int32 {
        switch tier {
        case .mono: -1
        case .eight: Int32(c8 ?? -1)
        case .sixteen: Int32(c16 ?? -1)
        case .indexed256: Int32(c256 ?? -1)
        case .direct:
            rgb.map { Palette.direct($0) } ?? (c256.map { $0 < 0 ? -1 : $0 < 8 ? Int32($0) : Palette.direct(Palette.rgb256($0)) } ?? -1)
        }
    }
}

/// Arithmetic on the palettes of terminals and of the VGA.
public enum Palette {
    /// ANSI names in ANSI order; the first eight are the dark ones.
    public static let ansiNames = [
        "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white", "bright-black", "bright-red", "bright-green",
        "bright-yellow", "bright-blue", "bright-magenta", "bright-cyan", "bright-white",
    ]

    /// VGA colour (blue is bit 0) to ANSI colour (red is bit 0).
    public static let vgaToANSI: [Int] = [0, 4, 2, 6, 1, 5, 3, 7, 8, 12, 10, 14, 9, 13, 11, 15]

    /// The VGA's sixteen in the fixed part of the 256-colour table, chosen by eye and distance.
    static let vgaIn256: [Int] = [16, 19, 34, 37, 124, 127, 130, 248, 240, 63, 83, 87, 203, 207, 227, 231]

    /// The BIOS's mode-3 colours, 0xRRGGBB.
    public static let vga: [UInt32] = [
        0x000000, 0x0000AA, 0x00AA00, 0x00AAAA, 0xAA0000, 0xAA00AA, 0xAA5500, 0xAAAAAA,
        0x555555, 0x5555FF, 0x55FF55, 0x55FFFF, 0xFF5555, 0xFF55FF, 0xFFFF55, 0xFFFFFF,
    ]

    /// xterm's table: 16 ANSI (as the VGA has them), a 6×6×6 cube, 24 greys.
    public static func rgb256(_ index: Int) -> UInt32 {
        switch index {
        case 0..<16: return vga[vgaToANSI[index]]
        case 16..<232:
            let n = index - 16
            return level(n / 36) << 16 | level(n / 6 % 6) << 8 | level(n % 6)
        case 232..<256:
            let v = UInt32(8 + 10 * (index - 232))
            return v << 16 | v << 8 | v
        default: return 0
        }
    }

    private static func level(_ n: Int) -> UInt32 { n == 0 ? 0 : UInt32(55 + 40 * n) }

    /// Squared distance with the eye's weights for red, green, blue.
    static func distance(_ a: UInt32, _ b: UInt32) -> Int {
        let r = Int(a >> 16 & 255) - Int(b >> 16 & 255), g = Int(a >> 8 & 255) - Int(b >> 8 & 255), bl = Int(a & 255) - Int(b & 255)
        return 3 * r * r + 4 * g * g + 2 * bl * bl
    }

    /// Nearest of entries 16–255 (0–15 belong to the user's palette).
    public static func nearest256(_ rgb: UInt32) -> Int {
        (16..<256).min { distance(rgb256($0), rgb) < distance(rgb256($1), rgb) } ?? 16
    }

    public static func nearestANSI(_ rgb: UInt32) -> Int {
        (0..<16).min { distance(vga[vgaToANSI[$0]], rgb) < distance(vga[vgaToANSI[$1]], rgb) } ?? 7
    }

    /// A colour number for `*-direct` descriptions; near-black values that would name a palette entry become 0x000100.
    static func direct(_ rgb: UInt32) -> Int32 { rgb & 0xFFFFFF < 8 ? 0x000100 : Int32(rgb & 0xFFFFFF) }

    /// Perceived brightness, 0–255.
    public static func brightness(_ rgb: UInt32) -> Int {
        (Int(rgb >> 16 & 255) * 299 + Int(rgb >> 8 & 255) * 587 + Int(rgb & 255) * 114) / 1000
    }

    /// WCAG 2 contrast ratio, 1–21.
    public static func contrast(_ a: UInt32, _ b: UInt32) -> Double {
        let (x, y) = (luminance(a), luminance(b))
        return (max(x, y) + 0.05) / (min(x, y) + 0.05)
    }

    private static func luminance(_ rgb: UInt32) -> Double {
        let channel = { (v: UInt32) -> Double in
            let c = Double(v & 255) / 255
            // The power 2.4 of WCAG's formula by squares: near enough for a warning.
            return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) * ((c + 0.055) / 1.055) * (0.6 + 0.4 * c)
        }
        return 0.2126 * channel(rgb >> 16) + 0.7152 * channel(rgb >> 8) + 0.0722 * channel(rgb)
    }
}
