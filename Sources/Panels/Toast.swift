import Hardware
import Machine
import Terminal

/// A short message. In the bar when it fits; else over the last lines of the screen, whole.
struct Toast {
    let text: String
    init(_ text: String) { self.text = text }

    func fits(_ width: Int) -> Bool { Width.of(text) + 2 <= width }

    /// Draws it above the bar.
    /// - Parameter bottom: the bar's row.
    func draw(width: Int, bottom: Int, on surface: inout Surface) {
        guard width > 4 else { return }
        let lines = PanelLook.wrap(text, width - 2).suffix(max(1, bottom - 1))
        for (y, line) in lines.enumerated() {
            let row = bottom - lines.count + y
            surface.fill(Rect(x: 0, y: row, width: width, height: 1), .statusAlert)
            surface.put(line, .statusAlert, column: 1, row: row, limit: width - 2)
        }
    }
}

extension Theme {
    /// The theme with a machine's own wish for the guest's colours.
    func wished(_ palette: RunSettings.Palette) -> Theme {
        guard let own = GuestPalette(rawValue: palette.rawValue) else { return self }
        var theme = self
        theme.guest.palette = own
        return theme
    }
}

/// What a field that names a file is about.
enum FileKind {
    private static let disks: Set<String> = ["vdi", "img", "raw", "qcow2", "vmdk", "vhd", "hdd", "dsk"]
    private static let floppies: Set<String> = ["img", "ima", "flp", "vfd", "dsk"]

    /// Its name, and endings of such files.
    static func of(_ key: String) -> (title: String, endings: Set<String>) {
        if key.hasPrefix("storage.disks") || key == "disk.path" { return ("Disk image", disks) }
        switch key {
        case "storage.floppy": return ("Floppy image", floppies)
        case "storage.cdrom": return ("CD image", ["iso", "cdr"])
        case "system.firmware": return ("Firmware", ["bin", "rom", "fd"])
        default: return ("File", [])
        }
    }
    static func of(_ bay: Bay) -> (title: String, endings: Set<String>) { of(bay == .ide1Master ? "storage.cdrom" : "storage.floppy") }
}
