/// Text attributes that need no colour.
public struct TextMods: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let bold = TextMods(rawValue: 1)
    public static let dim = TextMods(rawValue: 2)
    public static let italic = TextMods(rawValue: 4)
    public static let underline = TextMods(rawValue: 8)
    public static let reverse = TextMods(rawValue: 16)
    public static let blink = TextMods(rawValue: 32)
    public static let strike = TextMods(rawValue: 64)
    /// Nothing shows: foreground and background are the same.
    public static let hidden = TextMods(rawValue: 128)

    public static let names: [String: TextMods] = [
        "bold": .bold, "dim": .dim, "italic": .italic, "underline": .underline, "reverse": .reverse, "blink": .blink, "strike": .strike,
    ]
}

/// Colour numbers and attributes of one ink on one terminal; -1 is the terminal's default colour.
public struct ResolvedInk: Hashable, Sendable {
    public var foreground: Int32, background: Int32
    public var mods: TextMods
    public init(foreground: Int32, background: Int32, mods: TextMods = []) {
        self.foreground = foreground
        self.background = background
        self.mods = mods
    }
}

/// Every ink (256 VGA attributes, the same blinking, then the roles) as a terminal of a tier shows it.
public struct InkTable: Equatable, Sendable {
    public let inks: [ResolvedInk]

    /// - Parameter guestPalette: the DAC's sixteen colours, 0xRRGGBB.
    public init(theme: Theme, tier: ColourTier, guestPalette: [UInt32]) {
        let colours = InkTable.guestColours(theme: theme, tier: tier, palette: guestPalette)
        var inks: [ResolvedInk] = []
        inks.reserveCapacity(Ink.count)
        for attribute in 0..<256 {
            let fg = attribute & 15, bg = attribute >> 4
            inks.append(
                tier == .mono
                    ? InkTable.mono(fg, bg, guestPalette)
                    : ResolvedInk(
                        foreground: colours[fg], background: tier == .eight ? colours[bg] & 7 : colours[bg],
                        mods: fg == bg ? .hidden : []))
            if tier == .eight {
                inks[attribute].foreground = colours[fg] & 7
                if colours[fg] > 7 { inks[attribute].mods.insert(.bold) }
            }
        }
        for i in 0..<256 {
            inks.append(inks[i])
            inks[256 + i].mods.insert(.blink)
        }
        for role in Role.allCases {
            let style = theme.style(role)
            inks.append(
                tier == .mono
                    ? ResolvedInk(foreground: -1, background: -1, mods: theme.monoMods(role))
                    : ResolvedInk(
                        foreground: style.foreground.number(in: tier), background: style.background.number(in: tier), mods: style.mods))
        }
        self.inks = inks
    }

    @inline(__always)
    public subscript(_ ink: Ink) -> ResolvedInk { inks[Int(ink.code)] }

    /// Colour numbers of the guest's sixteen.
    private static func guestColours(theme: Theme, tier: ColourTier, palette: [UInt32]) -> [Int32] {
        (0..<16).map { i in
            var rgb = i < palette.count ? palette[i] & 0xFFFFFF : 0
            let isDefault = rgb == Palette.vga[i]
            switch theme.guest.palette {
            case .terminal where tier != .mono: return Int32(Palette.vgaToANSI[i])
            case .amber: rgb = tinted(rgb, 0xFFB000)
            case .green: rgb = tinted(rgb, 0x33FF33)
            case .mono: rgb = tinted(rgb, 0xFFFFFF)
            case .vga, .terminal:
                if isDefault, tier == .indexed256 { return Int32(Palette.vgaIn256[i]) }
                if isDefault, tier == .sixteen || tier == .eight { return Int32(Palette.vgaToANSI[i]) }
            }
            switch tier {
            case .mono: return -1
            case .eight, .sixteen: return Int32(Palette.nearestANSI(rgb))
            case .indexed256: return Int32(Palette.nearest256(rgb))
            case .direct: return Palette.direct(rgb)
            }
        }
    }

    private static func tinted(_ rgb: UInt32, _ tint: UInt32) -> UInt32 {
        let b = UInt32(Palette.brightness(rgb))
        let scale = { (v: UInt32) -> UInt32 in (v & 255) * b / 255 }
        return scale(tint >> 16) << 16 | scale(tint >> 8) << 8 | scale(tint)
    }

    /// No colours: the brighter side decides what is reversed, bright text is bold, the MDA's rule underlines.
    /// Source: IBM *Monochrome Display and Printer Adapter*, attribute functions (foreground 001 is underline).
    private static func mono(_ fg: Int, _ bg: Int, _ palette: [UInt32]) -> ResolvedInk {
        let colour = { (i: Int) -> UInt32 in i < palette.count ? palette[i] : Palette.vga[i] }
        var mods: TextMods = []
        if fg == bg { mods.insert(.hidden) }
        if Palette.brightness(colour(bg)) > Palette.brightness(colour(fg)) || (fg == bg && bg != 0) { mods.insert(.reverse) }
        if fg & 8 != 0, fg != bg { mods.insert(.bold) }
        if fg & 7 == 1, bg == 0 { mods.insert(.underline) }
        return ResolvedInk(foreground: -1, background: -1, mods: mods)
    }
}
