import Hardware
import Terminal

/// What stands in the guest's place when there is no text to show.
public struct NoticePanel {
    public let lines: [String]
    public let title: String

    /// The display is off.
    public static func blank(release: String) -> NoticePanel {
        NoticePanel(lines: ["The guest has switched its display off.", "A key may wake it. \(release)"], title: "Display off")
    }

    /// The guest has left text mode: what it shows, and the ways back.
    /// - Parameters:
    ///   - name: of the mode, when it has one that says more than its size.
    ///   - sendKeys: the keys that open the list of keys to send.
    ///   - picture: the keys that save the picture.
    public static func graphics(width: Int, height: Int, name: String, sendKeys: String, picture: String) -> NoticePanel {
        let mode = name.isEmpty ? "\(width)x\(height)" : name
        return NoticePanel(
            lines: [
                "The guest has left text mode: it is in graphics mode",
                "\(mode), which is not drawn in the terminal.",
                "It runs on, and keys still reach it.",
                "",
                "A picture of it:    \(picture) saves one as a PNG file.",
                "Its text consoles:  \(sendKeys) sends Ctrl-Alt-F1 or F2.",
                "Text from the start: boot it with nomodeset (Linux; on",
                "GRUB's menu e, then add it to the line that begins with",
                "linux), or without vga= and gfxmode settings.",
            ], title: "Graphics")
    }

    public static func starting(_ name: String) -> NoticePanel { NoticePanel(lines: ["\(name) is being powered on."], title: "Starting") }

    /// The machine's process has been asked and not yet answered.
    public static func waiting(_ name: String) -> NoticePanel {
        NoticePanel(lines: ["\(name) has not shown its screen yet.", "When its process hangs, it is asked again every second."], title: "Waiting")
    }

    public func draw(in area: Rect, border: BorderStyle, on surface: inout Surface) {
        surface.fill(area, .desktop)
        let width = (lines.map { Width.of($0) }.max() ?? 0) + 4
        let box = area.centred(width: width, height: lines.count + 2)
        surface.box(box, border: border, frame: .panelBorder, inside: .panel, title: title, titled: .panelTitle)
        for (i, line) in lines.enumerated() where i < box.height - 2 {
            surface.put(line, .panel, column: box.x + 2, row: box.y + 1 + i, limit: box.width - 4)
        }
    }
}

/// The terminal cannot hold the console: both sizes, the offending numbers marked.
public struct TooSmallPanel {
    public static let needed = Size(width: 40, height: 8)

    public static func applies(_ size: Size, _ needed: Size = needed) -> Bool { size.width < needed.width || size.height < needed.height }

    public static func draw(_ needed: Size = needed, what: String = "console", on surface: inout Surface) {
        surface.fill(surface.bounds, .ui)
        let heading = "Terminal size too small:", need = "Needed for the \(what):"
        guard surface.height >= 5, surface.width >= 23 else {
            // Hardly room for anything: the sizes alone.
            surface.put("\(surface.width)x\(surface.height), needs \(needed.width)x\(needed.height)", .stateError, column: 0, row: 0)
            return
        }
        let top = (surface.height - 5) / 2
        let width = surface.width
        let centre = { (text: String) -> Int in max(0, (width - Width.of(text)) / 2) }
        surface.put(heading, .ui, column: centre(heading), row: top)
        let have = "Width = \(surface.width) Height = \(surface.height)"
        var x = surface.put("Width = ", .ui, column: centre(have), row: top + 1)
        x = surface.put("\(surface.width)", surface.width < needed.width ? .stateError : .stateRunning, column: x, row: top + 1)
        x = surface.put(" Height = ", .ui, column: x, row: top + 1)
        surface.put("\(surface.height)", surface.height < needed.height ? .stateError : .stateRunning, column: x, row: top + 1)
        surface.put(need, .ui, column: centre(need), row: top + 3)
        let want = "Width = \(needed.width) Height = \(needed.height)"
        surface.put(want, .ui, column: centre(want), row: top + 4)
    }
}
