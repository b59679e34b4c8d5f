import Primitives

/// What the display shows, as values: taken from the VGA by the runner, drawn by the front end, matched by scripts.
public struct TextFrame: Equatable, Sendable {
    public enum Mode: Equatable, Sendable {
        case text
        /// Pixels; `name` such as "640x480x4 planar".
        case graphics(width: Int, height: Int, name: String)
        /// Display off, blanked or in reset.
        case blank
    }
    public struct Cursor: Equatable, Sendable {
        public var column = 0, row = 0
        /// First and last scan line, 0 at the top of the cell.
        public var startLine = 13, endLine = 14
        public var visible = true
        public init() {}
    }
    public var mode = Mode.text
    public var columns = 80, rows = 25
    /// `columns * rows` cells, row by row: character in bits 0–7, attribute in bits 8–15.
    public var cells: [UInt16] = []
    public var cursor = Cursor()
    /// Character cell in pixels: 8 or 9 wide, 1–32 high.
    public var cellWidth = 9, cellHeight = 16
    /// The 16 attribute colours through palette and DAC, 0xRRGGBB.
    public var palette: [UInt32] = TextFrame.defaultPalette
    /// Attribute bit 7 blinks (true) or is bright background (false).
    public var blinkEnabled = true
    /// Attribute bit 3 selects the second font.
    public var secondFont = false
    /// Counts changes of the font planes; the built-in font of the BIOS is what is loaded at `fontIsStandard`.
    public var fontGeneration: UInt32 = 0
    /// Every glyph equals the ROM font at this height, so that CP437 is right.
    public var fontIsStandard = true
    /// What the characters are. The board does not know; whoever looks at the guest says.
    public var codePage = CodePage.cp437

    public init() {}

    /// The VGA BIOS's mode-3 colours.
    public static let defaultPalette: [UInt32] = [
        0x000000, 0x0000AA, 0x00AA00, 0x00AAAA, 0xAA0000, 0xAA00AA, 0xAA5500, 0xAAAAAA,
        0x555555, 0x5555FF, 0x55FF55, 0x55FFFF, 0xFF5555, 0xFF55FF, 0xFFFF55, 0xFFFFFF,
    ]
}

/// An RGB picture of the display.
public struct PixelFrame: Equatable, Sendable {
    public var width: Int, height: Int
    /// `width * height` pixels, 0xRRGGBB.
    public var pixels: [UInt32]
    public init(width: Int, height: Int, pixels: [UInt32]) {
        self.width = width
        self.height = height
        self.pixels = pixels
    }
}
