/// How a cell is inked: one of the 256 VGA attributes (the guest's screen) or a role of the theme.
public struct Ink: Hashable, Sendable {
    /// 0–255: VGA attribute, foreground in bits 0–3, background in bits 4–7. 256–511: the same, blinking by the terminal.
    /// 512 and up: roles.
    public let code: UInt16

    @inline(__always)
    public init(attribute: UInt8, blinking: Bool = false) { code = UInt16(attribute) | (blinking ? 256 : 0) }
    public init(_ role: Role) { code = UInt16(512 + role.index) }

    public var attribute: UInt8? { code < 512 ? UInt8(truncatingIfNeeded: code) : nil }
    public var isBlinking: Bool { code >= 256 && code < 512 }
    public var role: Role? { code < 512 ? nil : Role.allCases[Int(code) - 512] }

    /// All inks there are, by `code`.
    public static var count: Int { 512 + Role.allCases.count }
}

/// One character cell.
public struct Cell: Equatable, Sendable {
    /// Unicode scalar value; 0 marks the right half of a wide character.
    public var scalar: UInt32
    public var ink: Ink

    @inline(__always)
    public init(scalar: UInt32, ink: Ink) {
        self.scalar = scalar
        self.ink = ink
    }

    public static let blank = Cell(scalar: 0x20, ink: Ink(.desktop))
}
