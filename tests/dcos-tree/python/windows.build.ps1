Copy-Item -Recurse "c:\pkg\src\*" "$env:PKG_PATH"
